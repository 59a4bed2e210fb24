"""What is deployed: replications with their platforms, found by their outputs in CloudFormation.

A replication and its platform are one another's by the landing bucket, which both have among their outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from backfill.kinds import BACKFILL
from backfill.project import own_stack
from backfill.terminal.console import WrongUseError, name_command
from dynaurora.failures.list_failures import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mypy_boto3_cloudformation import CloudFormationClient

    from backfill.kinds import Kind

BUCKET: Final = "LandingBucketName"
BUFFERS: Final = {"BufferSeconds": 60, "TransformBufferSeconds": 5, "StreamBufferSeconds": 5}
"""Parameters that say for how long changes are collected on their way, and their defaults."""
REPLICATION_OUTPUTS: Final = {
    "table": "SourceTableName",
    "bucket": BUCKET,
    "event_source_mapping": "ForwardChangesEventSourceMappingId",
}
"""The output of a replication's stack for each name."""
PLATFORM_OUTPUTS: Final = {
    "backfill_table_arn": "BackfillTableStateMachineArn",
    "reprocess_failures_arn": "ReprocessFailuresStateMachineArn",
    "import_batch_arn": "ImportBatchStateMachineArn",
    "describe_runs": "DescribeRunsFunctionName",
    "check_target": "CheckTargetFunctionName",
    "failures_topic": "FailuresTopicArn",
}
"""The output of the platform's stack for each name."""


NAME_ONE: Final = "Name one with --stack."


@dataclass(frozen=True, slots=True)
class PlatformStack:
    """A platform, as far as a mapping needs one that nobody replicates by yet."""

    stack: str
    bucket: str
    """The landing bucket."""
    change_mapping: str
    """The function's name; empty where the platform has no administrator's secret."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One replication, and the names of what the commands ask."""

    stack: str
    """The replication's stack."""
    platform: str
    """The stack of its platform."""
    mapping: str
    table: str
    """The DynamoDB table."""
    bucket: str
    """The landing bucket."""
    backfill_table_arn: str
    reprocess_failures_arn: str
    import_batch_arn: str
    describe_runs: str
    """The function's name."""
    check_target: str
    """The function's name."""
    event_source_mapping: str
    """Id of what reads the table's stream."""
    failures_topic: str
    """The ARN of the topic that people are told on."""
    change_mapping: str = ""
    """The function's name; empty where the stack has no administrator's secret."""
    compare_rows: str = ""
    """The function's name; empty where the platform is of a release that has none."""
    forward_changes: str = ""
    """Name of the function that the stream's reader calls."""
    buffer_seconds: int = 70
    """How long changes and rows are collected on their way, at most."""
    purge_replicas: str = ""
    """The function's name; empty where the platform is of a release that has none."""
    find_unimported: str = ""
    """The function's name; empty where the platform is of a release that has none."""
    import_streamed_batch_arn: str = ""
    """The state machine; empty where the platform is of a release that has none."""
    cluster: str = ""
    """Identifier of the Aurora cluster that the stack made; empty where it uses another one."""
    ignores_expiries: bool = False
    """Whether deletes by Time to Live are not replicated."""
    verification_schedule: str = ""
    """When AWS verifies the table by itself, rate(…) or cron(…); empty where it does not."""

    @property
    def place(self) -> Place:
        """Where its failures are, of whichever reader its table has had."""
        return Place(self.bucket, self.mapping, self.table)

    @property
    def own_place(self) -> Place:
        """The same, of the reader that it has now: a shared bucket has what those of all other tables gave up on."""
        return Place(self.bucket, self.mapping, self.table, (self.event_source_mapping,))

    def machine_arn(self, kind: Kind) -> str:
        """Return the ARN of the state machine that does the runs of a kind."""
        return self.backfill_table_arn if kind is BACKFILL else self.reprocess_failures_arn

    def execution_arn(self, kind: Kind, name: str) -> str:
        """Return the ARN that an execution with a name has, in the state machine of a kind."""
        return f"{self.machine_arn(kind).replace(':stateMachine:', ':execution:', 1)}:{name}"


def find_deployments(cloudformation: CloudFormationClient, stack: str | None = None) -> list[Deployment]:
    """Return the project's deployments, all where there is no project, or those of a stack.

    Raises WrongUseError where that has none.
    """
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    stacks = [found for page in pages for found in page["Stacks"]]
    if stack is None:
        return [found for found in read_stacks(stacks) if is_own(found.platform)]
    description = next((found for found in stacks if stack in {found["StackName"], found.get("StackId")}), None)
    if description is None:
        raise WrongUseError(
            f"There is no stack {stack} in this account and region. List the stacks with: "
            "aws cloudformation describe-stacks --query 'Stacks[].StackName'"
        )
    name = description["StackName"]
    if found := [one for one in read_stacks(stacks) if name in {one.stack, one.platform}]:
        return found
    raise WrongUseError(
        f"The stack {stack} is not one of these commands': it lacks {_name_missing(description, stacks)}. Name the "
        "stack of a replication, or update it from infra/."
    )


def is_own(platform: str) -> bool:
    """Tell whether a platform's stack is the project's; any is where there is no project."""
    own = own_stack()
    return own in {None, platform}


def find_platform(cloudformation: CloudFormationClient, stack: str | None, mapping: str) -> PlatformStack:
    """Return the platform that replicates by a mapping, or that is to: the one of a stack, or the only one there is.

    Raises WrongUseError where there is none, or more than one.
    """
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    stacks = [found for page in pages for found in page["Stacks"]]
    replications, found = read_stacks(stacks), list(map(_read_platform, list_platforms(stacks).values()))
    names = {one.platform for one in replications if stack == one.stack} | {stack}
    asked = [one for one in found if stack is None or one.stack in names]
    replicating = {one.platform for one in replications if one.mapping == mapping}
    fitting = [one for one in asked if one.stack in replicating] or asked
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise WrongUseError(f"Several platforms are deployed: {_join(one.stack for one in fitting)}. {NAME_ONE}")
    raise WrongUseError(_name_deployed(replications) if stack is None else f"No platform is deployed as {stack}.")


def list_platforms(descriptions: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the platforms among stacks of DescribeStacks, by their landing buckets."""
    outputs_of = ((found, _read_outputs(found)) for found in descriptions if not found.get("ParentId"))
    needed = {BUCKET, *PLATFORM_OUTPUTS.values()}
    return {outputs[BUCKET]: found for found, outputs in outputs_of if outputs.keys() >= needed}


def _read_platform(description: Mapping[str, Any]) -> PlatformStack:
    outputs = _read_outputs(description)
    return PlatformStack(description["StackName"], outputs[BUCKET], outputs.get("ChangeMappingFunctionName", ""))


def read_stacks(descriptions: Sequence[Mapping[str, Any]]) -> list[Deployment]:
    """Return the replications among stacks of DescribeStacks, each with its platform."""
    roots = [found for found in descriptions if not found.get("ParentId")]
    platforms = list_platforms(roots)
    return list(filter(None, (_read_replication(found, platforms) for found in roots)))


def _read_replication(description: Mapping[str, Any], platforms: Mapping[str, Mapping[str, Any]]) -> Deployment | None:
    """Return the replication that a stack is; None for platforms, stacks of others, and one without a platform."""
    outputs, parameters = _read_outputs(description), _read_parameters(description)
    platform = platforms.get(outputs.get(BUCKET, ""))
    if platform is None or "Mapping" not in parameters or not outputs.keys() >= set(REPLICATION_OUTPUTS.values()):
        return None
    shared = _read_outputs(platform)
    return Deployment(
        stack=description["StackName"],
        platform=platform["StackName"],
        mapping=parameters["Mapping"],
        change_mapping=shared.get("ChangeMappingFunctionName", ""),
        compare_rows=shared.get("CompareRowsFunctionName", ""),
        forward_changes=outputs.get("ForwardChangesFunctionName", ""),
        buffer_seconds=sum(int(parameters.get(name, seconds)) for name, seconds in BUFFERS.items()),
        purge_replicas=shared.get("PurgeReplicasFunctionName", ""),
        find_unimported=shared.get("FindUnimportedFunctionName", ""),
        cluster=shared.get("DatabaseClusterId", ""),
        import_streamed_batch_arn=shared.get("ImportStreamedBatchStateMachineArn", ""),
        ignores_expiries=parameters.get("TtlDeletes") == "ignore",
        verification_schedule=parameters.get("VerificationSchedule", ""),
        **{name: outputs[output] for name, output in REPLICATION_OUTPUTS.items()},
        **{name: shared[output] for name, output in PLATFORM_OUTPUTS.items()},
    )


def _read_parameters(description: Mapping[str, Any]) -> dict[str, str]:
    return {given["ParameterKey"]: given.get("ParameterValue", "") for given in description.get("Parameters", [])}


def _read_outputs(description: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}


def _name_missing(description: Mapping[str, Any], stacks: Iterable[Mapping[str, Any]]) -> str:
    outputs = _read_outputs(description)
    missing = [output for output in REPLICATION_OUTPUTS.values() if output not in outputs]
    if missing:
        return f"the output {missing[0]}"
    if "Mapping" not in _read_parameters(description):
        return "the parameter Mapping"
    shared = next((_read_outputs(found) for found in stacks if _is_platform_of(found, outputs[BUCKET])), {})
    absent = [output for output in PLATFORM_OUTPUTS.values() if output not in shared]
    return f"a platform with the bucket {outputs[BUCKET]} and the output {absent[0] if absent else BUCKET}"


def _is_platform_of(description: Mapping[str, Any], bucket: str) -> bool:
    is_root = not description.get("ParentId") and "Mapping" not in _read_parameters(description)
    return is_root and _read_outputs(description).get(BUCKET) == bucket


def choose_deployment(deployments: Sequence[Deployment], mapping: str | None) -> Deployment:
    """Return the one deployment of a mapping, or of all.

    Raises WrongUseError where there is none, or more than one.
    """
    if mapping is None:
        return choose_only(deployments)
    fitting = [deployment for deployment in deployments if deployment.mapping == mapping]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise WrongUseError(
            f"Several stacks replicate the mapping {mapping}: {_join(found.stack for found in fitting)}. "
            "Name one with --stack."
        )
    raise WrongUseError(f"No stack replicates the mapping {mapping!r}. {_name_deployed(deployments)}")


def choose_deployments(deployments: Sequence[Deployment], mapping: str | None) -> list[Deployment]:
    """Return the deployment of a mapping in a list, or all of them, by their mappings' names.

    Raises WrongUseError where nothing is deployed, the mapping is not, or more than once.
    """
    require_any(deployments)
    if mapping is not None:
        return [choose_deployment(deployments, mapping)]
    return sorted(deployments, key=lambda one: (one.mapping, one.stack))


def split_names(names: Sequence[str], deployments: Sequence[Deployment]) -> tuple[str | None, list[str]]:
    """Return the mapping that the first of some names is, if any, and the others, which are of failures."""
    if names and any(names[0] == deployment.mapping for deployment in deployments):
        return names[0], [*names[1:]]
    return None, [*names]


def choose_only(deployments: Sequence[Deployment]) -> Deployment:
    """Return the one deployment there is. Raises WrongUseError where there is none, or more than one."""
    require_any(deployments)
    if len(deployments) > 1:
        raise WrongUseError(f"Several stacks are deployed: {_name_stacks(deployments)}. Name one with --stack.")
    return deployments[0]


def require_any(deployments: Sequence[Deployment]) -> None:
    """Raise WrongUseError where nothing is deployed."""
    if not deployments:
        raise WrongUseError(_name_deployed(deployments))


def _name_deployed(deployments: Sequence[Deployment]) -> str:
    deploy = f"`{name_command('deploy')}` in a project"
    if not deployments:
        local = name_command("local", "up")
        return (
            f"Nothing is deployed in this account and region. Deploy with {deploy}, or on this machine with `{local}`."
        )
    return f"Deployed: {_name_stacks(deployments)}. Choose one of these, or deploy another with {deploy}."


def _name_stacks(deployments: Sequence[Deployment]) -> str:
    return _join(f"{found.mapping} (stack {found.stack})" for found in deployments)


def _join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
