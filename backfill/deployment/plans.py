"""A deployment of a project, planned and carried out: the platform, then a replication for each mapping, side by side.

Nothing is changed by planning. What is carried out is found as far as it came when it is done again. A replication
takes the package that its platform has, whose place the platform's stack is tagged with, so none is built for it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Literal

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.aws_errors import explain_failure
from backfill.deployment.changing import ByFunction
from backfill.deployment.deployments import BUFFERS
from backfill.deployment.earlier import READER, announce, find_reader, is_earlier
from backfill.deployment.schedules import plan_schedule
from backfill.deployment.sources import look_at_source, switch_on_stream
from backfill.deployment.stacks import NEVER_MADE, Change, Stack
from backfill.terminal.console import WrongUseError
from dynaurora import __version__
from dynaurora.errors import DynauroraError, TargetTakenError
from dynaurora.mappings.registry import publish_document
from dynaurora.mappings.replications import KnownReplications
from infra.deployable import Uploads, read_parameters
from infra.monthly_costs import LOOKS, list_templates, price_platform, price_replication
from infra.schedules import count_reprocesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from backfill.deployment.earlier import EarlierReader
    from backfill.deployment.schedules import ScheduledVerification
    from backfill.deployment.sources import Source
    from backfill.deployment.stacks import Stacks
    from backfill.project import Project
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

PLATFORM: Final = "platform.yaml"
REPLICATION: Final = "replication.yaml"
RELEASE_TAG: Final = "dynaurora:release"
PACKAGE_TAG: Final = "dynaurora:package"
BUCKET: Final = "LandingBucketName"
LONGEST_NAME: Final = 46
"""Characters of a replication's name: those of its resources begin with it."""
AT_ONCE: Final = 8
"""Replications that are deployed side by side: each asks CloudFormation twice a look, whose answers are rationed."""
CREATE: Final = "create"
UPDATE: Final = "update"
KEEP: Final = "keep"
PLATFORM_MARKS: Final = (BUCKET, "ImportConcurrency", "DatabaseHost")
"""Parameters by which a stack is known as a platform, while it has no outputs yet."""


@dataclass(frozen=True)
class PlatformStep:
    """What becomes of the platform."""

    stack: str
    action: str
    why: str
    monthly_usd: float
    kept_reader: EarlierReader | None = None
    """What of release 0.1 reads a table's stream, and goes on with it."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        kept = {"keeps_reader_of": self.kept_reader.mapping} if self.kept_reader else {}
        return {"stack": self.stack, "action": self.action, "why": self.why, "monthly_usd": self.monthly_usd, **kept}


@dataclass(frozen=True)
class ReplicationStep:
    """What becomes of a replication."""

    stack: str
    action: str
    mapping: Mapping
    source: Source | None
    """The table, where the replication is new."""
    columns: dict[str, Any] | None
    """What its tables need, as `mapping plan` has it, where it is there and its mapping is another."""
    monthly_usd: float
    outputs: dict[str, str] = field(default_factory=dict)
    """Of its stack, where it is there."""
    problem: str = ""
    """Why it cannot be deployed, whatever its tables are like."""
    verification: ScheduledVerification | None = None
    """By the clock, where it has a schedule."""

    @property
    def refused(self) -> list[str]:
        """Why it cannot be deployed: also what of the mapping its tables cannot be given."""
        return [self.problem] if self.problem else list(self.columns["refuse"]) if self.columns else []

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "stack": self.stack,
            "action": self.action,
            "mapping": self.mapping.name,
            "digest": self.mapping.digest,
            "table": self.mapping.source_table,
            "source": self.source and self.source.step,
            "targets": [{"database": each.database, "table": each.table} for each in self.mapping.targets],
            "columns": self.columns,
            "refused": self.refused,
            "monthly_usd": self.monthly_usd,
            "verification": self.verification and self.verification.as_dict(),
        }


@dataclass(frozen=True)
class Plan:
    """What a deployment does."""

    account: str
    region: str
    platform: PlatformStep
    replications: list[ReplicationStep] = field(default_factory=list)

    @property
    def wanted(self) -> list[ReplicationStep]:
        """What is to do and can be done, but for the platform."""
        return [step for step in self.replications if step.action != KEEP and not step.refused]

    @property
    def refused(self) -> dict[str, str]:
        """Why mappings cannot be deployed, by their names."""
        return {step.mapping.name: "; ".join(step.refused) for step in self.replications if step.refused}

    @property
    def changes(self) -> bool:
        """Whether anything is to do that can be done."""
        return self.platform.action != KEEP or bool(self.wanted)

    @property
    def monthly_usd(self) -> float:
        """What all of it costs a month, at rest."""
        return round(self.platform.monthly_usd + sum(step.monthly_usd for step in self.replications), 2)

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "account": self.account,
            "region": self.region,
            "platform": self.platform.as_dict(),
            "replications": [step.as_dict() for step in self.replications],
            "monthly_usd": self.monthly_usd,
        }


@dataclass
class Outcome:
    """What a deployment did."""

    deployed: list[str] = field(default_factory=list)
    """The stacks that were changed."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why mappings were not deployed, by their names."""

    def write_down(self, ends: Iterable[tuple[ReplicationStep, bool | str]]) -> None:
        """Take up what became of replications: whether each was changed, or why it was not deployed."""
        for step, end in ends:
            if isinstance(end, str):
                self.failed[step.mapping.name] = end
            elif end:
                self.deployed.append(step.stack)


@dataclass(frozen=True)
class Deployer:
    """Plans a project's deployment, and carries it out."""

    project: Project
    stacks: Stacks
    uploads: Uploads
    dynamodb: Any
    store: ObjectStore
    upgrade: Literal["", "begin", "finish"] = ""
    """What becomes of a stack of release 0.1: nothing; it becomes the platform; its reader of the stream goes."""
    others: KnownReplications = field(default_factory=KnownReplications)
    """What the platform replicates already."""

    def plan(self, mappings: Sequence[Mapping], *, everything: bool) -> Plan:
        """Return what is to do so that these mappings are deployed; `everything` brings all to this release, too.

        Raises WrongUseError for what cannot be deployed.
        """
        self._check_parameters()
        platform = self.stacks.find(self.project.stack)
        if platform is not None:
            self.stacks.require_own(platform, "a platform", dict.fromkeys(PLATFORM_MARKS))
        return Plan(
            self.uploads.account,
            self.uploads.region,
            self._plan_platform(platform, everything=everything),
            [self._plan_replication(platform, mapping, everything=everything) for mapping in mappings],
        )

    def carry_out(self, plan: Plan, tell: Callable[[str], None]) -> Outcome:
        """Do what a plan says. A replication that fails is told, and stops no other.

        Raises StackError where it is the platform that fails.
        """
        outcome = Outcome(failed=plan.refused)
        self.uploads.ensure_bucket()
        if plan.platform.action != KEEP and self._deploy_platform(plan.platform, tell):
            outcome.deployed.append(plan.platform.stack)
        platform = self.stacks.wait(self.project.stack)
        if platform is None:
            raise WrongUseError(f"The stack {self.project.stack} is gone: deploy again.")
        if plan.wanted:
            self._deploy_replications(plan.wanted, platform, outcome, tell)
        return outcome

    def _deploy_replications(
        self, steps: Sequence[ReplicationStep], platform: Stack, outcome: Outcome, tell: Callable[[str], None]
    ) -> None:
        """Deploy replications side by side, the first ones first, and write down what became of each.

        Where it is cut short, those that wait are not begun, and what is under way goes on in CloudFormation.
        """
        package = platform.tags.get(PACKAGE_TAG) or self.uploads.package
        template = self.uploads.upload_template(REPLICATION, package)
        several = len(steps) > 1

        def deploy(step: ReplicationStep) -> bool | str:
            try:
                return self._deploy_replication(step, platform, template, tell, brief=several)
            except (click.ClickException, DynauroraError, BotoCoreError, ClientError) as error:
                return explain_failure(error)

        pool = ThreadPoolExecutor(AT_ONCE, "deploy")
        try:
            ends = {pool.submit(deploy, step): step for step in steps}
            for number, end in enumerate(as_completed(ends), 1):
                if several:
                    tell(f"{number} of {len(steps)}: {ends[end].stack} {describe_end(end.result())}")
            outcome.write_down((step, end.result()) for end, step in ends.items())
        except BaseException:
            self.stacks.leave()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def require_replication(self, stack: Stack, mapping: str, platform: Stack | None) -> None:
        """Raise StackError where a stack is none that replicates by a mapping on the project's platform."""
        bucket = platform.outputs.get(BUCKET) if platform and stack.status not in NEVER_MADE else None
        marks = {"Mapping": mapping, BUCKET: bucket}
        self.stacks.require_own(stack, f"the replication of {mapping} on the platform {self.project.stack}", marks)

    def _plan_platform(self, stack: Stack | None, *, everything: bool) -> PlatformStep:
        given, name = self.project.parameters, self.project.stack
        known = (stack.parameters if stack else {}) | given
        monthly = round(price_platform(choose_templates(known), count_endpoint_zones(known)), 2)
        if stack is None or not stack.outputs.get(BUCKET):
            return PlatformStep(name, CREATE, describe_absence(stack), monthly)
        reader = find_reader(self.stacks, stack)
        if is_earlier(stack):
            return self._plan_upgrade(name, reader, monthly)
        if reader and self.upgrade == "finish":
            return PlatformStep(name, UPDATE, "what read the stream by release 0.1 goes", monthly)
        step = self._plan_update(stack, monthly, everything=everything)
        return replace(step, kept_reader=reader)

    def _plan_upgrade(self, name: str, reader: EarlierReader | None, monthly: float) -> PlatformStep:
        if reader is None or self.upgrade != "begin":
            raise WrongUseError(
                f"The stack {name} is of release 0.1, one table's whole: have it become the platform with `dynaurora"
                " upgrade`, see docs/upgrade.md; or name another stack in [platform] of dynaurora.toml."
            )
        return PlatformStep(name, UPDATE, "of release 0.1, it becomes the platform", monthly, reader)

    def _plan_update(self, stack: Stack, monthly: float, *, everything: bool) -> PlatformStep:
        given, name = self.project.parameters, self.project.stack
        release = stack.tags.get(RELEASE_TAG)
        if changed := [key for key, value in given.items() if stack.parameters.get(key) != value]:
            return PlatformStep(name, UPDATE, f"other {', '.join(changed)}", monthly)
        if everything:
            return PlatformStep(name, UPDATE, f"to release {__version__}", monthly)
        if release not in {None, __version__}:
            return PlatformStep(name, KEEP, f"of release {release}; --all brings it to {__version__}", monthly)
        return PlatformStep(name, KEEP, "it is there", monthly)

    def _plan_replication(self, platform: Stack | None, mapping: Mapping, *, everything: bool) -> ReplicationStep:
        name = name_replication(self.project.stack, mapping.name)
        stack, given = self.stacks.find(name), self.project.replications.get(mapping.name, {})
        monthly = round(price_replication(count_looks_of(given)), 2)
        try:
            if stack is not None:
                self.require_replication(stack, mapping.name, platform)
            self._require_free_target(platform, mapping)
            verification = plan_schedule(self.dynamodb, mapping.source_table, given, stack.parameters if stack else {})
            if stack is None or "SourceTableName" not in stack.outputs or stack.status == "DELETE_IN_PROGRESS":
                source = look_at_source(self.dynamodb, mapping)
                return ReplicationStep(name, CREATE, mapping, source, None, monthly, verification=verification)
        except click.ClickException as error:
            return ReplicationStep(name, CREATE, mapping, None, None, monthly, problem=error.message)
        is_same = stack.parameters.get("MappingDigest") == mapping.digest
        is_same = is_same and all(stack.parameters.get(key) == value for key, value in given.items())
        changer = platform.outputs.get("ChangeMappingFunctionName") if platform and not is_same else None
        columns = ByFunction(changer).plan(mapping, drop=False) if changer else None
        action = KEEP if is_same and not everything else UPDATE
        return ReplicationStep(name, action, mapping, None, columns, monthly, stack.outputs, verification=verification)

    def _require_free_target(self, platform: Stack | None, mapping: Mapping) -> None:
        """Raise WrongUseError where another replication of the platform writes a table of a mapping."""
        if platform and (bucket := platform.outputs.get(BUCKET)):
            try:
                self.others.check_target_free(self.store, bucket, mapping)
            except TargetTakenError as error:
                raise WrongUseError(str(error)) from error

    def _deploy_platform(self, step: PlatformStep, tell: Callable[[str], None]) -> bool:
        tell("Building the functions' package")
        package, reader = self.uploads.package, step.kept_reader
        more, given = {}, {"Architecture": self.uploads.architecture}
        if reader:
            more[READER] = reader.describe_resource(self.uploads.upload_text(reader.template))
            announce(self.store, reader.bucket, name_replication(step.stack, reader.mapping), reader)
            if key := reader.given.get("SourceTableKeyArn"):
                given["SourceTableKeysArn"] = key
        return self.stacks.deploy(
            Change(
                step.stack,
                self.uploads.upload_template(PLATFORM, package, more),
                given | self.project.parameters,
                read_parameters(PLATFORM),
                {RELEASE_TAG: __version__, PACKAGE_TAG: package},
            )
        )

    def _deploy_replication(
        self, step: ReplicationStep, platform: Stack, template: str, tell: Callable[[str], None], *, brief: bool
    ) -> bool:
        mapping, known = step.mapping, read_parameters(REPLICATION)
        publish_document(self.store, platform.outputs[BUCKET], mapping)
        given = {name: value for name, value in platform.outputs.items() if name in known}
        given |= self._describe_source(step, tell)
        given |= {"Name": step.stack, "Mapping": mapping.name, "MappingDigest": mapping.digest}
        given |= {"Architecture": self.uploads.architecture}
        if self.uploads.is_local and step.action == CREATE:
            given |= dict.fromkeys(BUFFERS, "1")  # a person watches
        given |= self.project.replications.get(mapping.name, {})
        tags = {RELEASE_TAG: platform.tags.get(RELEASE_TAG, __version__)}
        return self.stacks.deploy(Change(step.stack, template, given, known, tags, brief))

    def _describe_source(self, step: ReplicationStep, tell: Callable[[str], None]) -> dict[str, str]:
        """Return the parameters that a new replication has of its table, whose stream is switched on if it is off."""
        if step.source is None:
            return {}
        source, mapping = look_at_source(self.dynamodb, step.mapping), step.mapping
        if source.exists:
            if not source.stream_arn:
                tell(f"Switching on the stream of {source.table}")
            return {"SourceStreamArn": source.stream_arn or switch_on_stream(self.dynamodb, source.table)}
        keys = {"PartitionKey": mapping.partition_key, "PartitionKeyType": source.key_types[mapping.partition_key]}
        if mapping.sort_key:
            keys |= {"SortKey": mapping.sort_key, "SortKeyType": source.key_types[mapping.sort_key]}
        return {"SourceTableName": source.table, **keys}

    def _check_parameters(self) -> None:
        """Raise WrongUseError for parameters of the project that no template has."""
        _require_known(self.project.parameters, read_parameters(PLATFORM), "[platform.parameters]")
        for name, given in self.project.replications.items():
            _require_known(given, read_parameters(REPLICATION), f"[replications.{name}]")


def choose_templates(parameters: dict[str, str]) -> list[str]:
    """Return the templates of a platform that has these parameters: it makes the network and database, or not."""
    return list_templates(network=not parameters.get("SubnetIds"), database=not parameters.get("DatabaseHost"))


def count_endpoint_zones(parameters: dict[str, str]) -> int:
    """Return in how many zones a platform that has these parameters has the endpoints of a network that it makes."""
    return 2 if parameters.get("EndpointZones") == "2" else 1


def count_looks_of(parameters: dict[str, str]) -> float:
    """Return how often in a month a replication of these parameters looks for what failed.

    By what is no schedule, which AWS will refuse, it is priced as by the default one.
    """
    looks = count_reprocesses(parameters)
    return LOOKS if looks is None else looks


def describe_end(end: bool | str) -> str:
    """Return what became of a replication: it was changed or not, or could not be deployed."""
    if isinstance(end, str):
        return "was not deployed; the others go on"
    return "is deployed" if end else "is as it was"


def describe_absence(stack: Stack | None) -> str:
    """Return why a platform is created."""
    if stack is None:
        return "it is not there"
    if stack.status in NEVER_MADE:
        return f"it is {stack.status}: its first deployment failed, and it is made anew"
    return f"it is {stack.status}, which is waited for"


def name_replication(platform: str, mapping: str) -> str:
    """Return the name of the stack that replicates by a mapping. Raises WrongUseError where it is too long."""
    name = f"{platform}-{mapping.replace('_', '-')}"
    if len(name) > LONGEST_NAME:
        raise WrongUseError(
            f"The stack of the mapping {mapping} would be called {name}, of more than {LONGEST_NAME} characters: give"
            " the mapping's file, or the platform, a shorter name."
        )
    return name


def _require_known(given: Iterable[str], known: frozenset[str], place: str) -> None:
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise WrongUseError(f"{name} in {place} of the project is no parameter of the template{meant}")
