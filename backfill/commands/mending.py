"""What `dynaurora repair` does, step by step: what is commanded is in `backfill.commands.repair`."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands import backfill_start, reprocess_start
from backfill.commands.verify import ANSWER_SECONDS, Wanted, choose_way, say_cost, verify_table
from backfill.deployment.clients import connect_functions
from backfill.kinds import BACKFILL, REPROCESS
from backfill.repairing import Candidate, FoundDifferences, Survey, Surveyor, find_verification, read_differences
from backfill.reporting import describe_found, leave_report
from backfill.rereading import KeyedReader, Reread, Rereader
from backfill.runs import start as starts
from backfill.runs.executions import describe_execution, find_running
from backfill.runs.run_ids import find_run_id
from backfill.samples import READ_UNIT_USD, describe_table
from backfill.terminal.console import WrongUseError, name_command, say
from backfill.terminal.formatting import format_count
from backfill.verifying import Verification
from dynaurora import keys
from dynaurora.dynamodb.items import TableItems
from dynaurora.dynamodb.scans import Pace
from dynaurora.failures.failed_keys import FailedKeys
from dynaurora.failures.list_failures import (
    is_anything_failed,
    is_imported,
    list_failures,
    unstarted_batch,
)
from dynaurora.mappings.registry import Registry
from dynaurora.mappings.sandbox import choose_row_mapper
from dynaurora.runs.costs import PRICES
from dynaurora.verification.expectations import Expecter
from dynaurora.verification.function_lookup import FunctionLookup
from dynaurora.verification.judging import POLL_SECONDS
from dynaurora.verification.verdicts import UNEXPLAINED
from dynaurora.verification.verifier import make_suspect_judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.deployment.clients import Clients
    from backfill.deployment.deployments import Deployment
    from backfill.kinds import Kind
    from dynaurora.aws.objects import Listed, ObjectStore
    from dynaurora.failures.list_failures import Place
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.row_mapper import RowMapper

KEYS, EXPORT = "keys", "export"
FIRST_WORKERS: Final = 4
"""Segments of a scan, where nothing was verified yet and the table cannot be exported."""
RUN_POLL_SECONDS: Final = 2.0
DRAINED: Final = timedelta(hours=2)
"""For so long batches that landed are waited for; older ones are taken up as failed, since no import was started."""


@dataclass(frozen=True)
class Options:
    """How a repair is to be done."""

    run: str | None
    """The verification whose differences are mended; None for the last one of all items."""
    via: str | None
    units: float
    settle_seconds: float
    patience_seconds: float
    whole: bool
    """Whether all items are verified afterwards."""


@dataclass
class Plan:
    """What a repair is about to do."""

    found: FoundDifferences
    survey: Survey
    via: str
    failed: Counter[str]
    """Objects that are kept as failed, by kind."""
    unknown: int
    """Failures whose keys nobody can tell."""
    units: float
    """Read units that looking at the keys took; reading them again takes as many."""
    export_usd: float

    @property
    def does_anything(self) -> bool:
        """Whether anything is to be mended."""
        return bool(self.survey.mend) or (self.via == EXPORT and self.found.left_out > 0)

    @property
    def is_equal(self) -> bool:
        """Whether nothing is to be mended, and nothing is left that cannot be."""
        return not (self.does_anything or self.survey.impossible or self.found.left_out)

    @property
    def wait_seconds(self) -> float:
        """For how long the youngest of the rows cannot be beaten yet."""
        latest = max((wanted.readable_at for wanted in self.survey.list_wanted()), default=0)
        return max(0.0, latest - time.time())

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "verification": asdict(self.found.verification),
            "via": self.via,
            "found": len(self.found.candidates),
            "left_out": self.found.left_out,
            "mend": self.survey.counts,
            "not_mended": self.survey.not_mended,
            "kept_as_failed": dict(self.failed),
            "unknown_failures": self.unknown,
            "read_units": self.units,
            "usd": self.export_usd if self.via == EXPORT else self.units * READ_UNIT_USD,
            "wait_seconds": round(self.wait_seconds),
        }


@dataclass
class Repair:
    """A repair of one replication."""

    clients: Clients
    deployment: Deployment
    store: ObjectStore
    options: Options
    run: str
    """Its own id: of its batches, and of the verification afterwards."""
    reread: Reread = field(default_factory=Reread)

    @cached_property
    def registry(self) -> Registry:
        """What tells the current mapping."""
        return Registry(self.store, self.deployment.bucket, self.deployment.mapping)

    @cached_property
    def mapping(self) -> Mapping:
        """The current mapping, by which all of it is done."""
        return self.registry.find_current()

    @cached_property
    def lookup(self) -> FunctionLookup:
        """The way to the rows."""
        functions = connect_functions(ANSWER_SECONDS)
        return FunctionLookup(functions, self.deployment.compare_rows, self.mapping, self.run)

    @cached_property
    def items(self) -> TableItems:
        """The table's items."""
        return TableItems(self.deployment.table)

    @cached_property
    def place(self) -> Place:
        """Where failures are kept."""
        return self.deployment.own_place

    @cached_property
    def reader(self) -> KeyedReader:
        """What reads keys to look at them."""
        return KeyedReader(self.items, Pace(self.options.units), say)

    @cached_property
    def mapper(self) -> RowMapper:
        """What maps items."""
        return choose_row_mapper(self.mapping)

    @cached_property
    def surveyor(self) -> Surveyor:
        """What looks at keys."""
        return Surveyor(Expecter(self.mapper), self.lookup, self.reader, self.deployment.ignores_expiries, say)

    def find_differences(self) -> FoundDifferences:
        """Return what the verification found; where there is none, verify first. Raises WrongUseError."""
        found = find_verification(self.lookup, self.options.run)
        if found is None and self.options.run:
            raise WrongUseError(
                f"No verification {self.options.run} of {self.deployment.mapping} has ended. The table"
                f" {self.mapping.database}._dynaurora_verifications has all of them; without --run it is the last."
            )
        if found is None:
            say(f"No verification of all items of {self.deployment.mapping} has ended: one comes first.")
            found = find_verification(self.lookup, self.verify_whole())
        if found is None:
            raise click.ClickException("The verification is not in the database. Try again.")
        return read_differences(self.lookup, found)

    def verify_whole(self) -> str:
        """Verify all items, and return the run."""
        run, options = f"verify-{make_suffix()}", self.options
        wanted = Wanted(
            *(choose_way(self.deployment, None, None), None, None, options.units, FIRST_WORKERS),
            *(options.settle_seconds, options.patience_seconds, False),
        )
        say_cost(self.deployment, wanted)
        started_at = datetime.now(UTC)
        found = describe_found(verify_table(self.deployment, self.store, self.mapping, run, wanted, None), whole=True)
        leave_report(self.store, self.deployment, self.mapping, run, wanted.via, started_at, found)
        return run

    def plan(self, found: FoundDifferences) -> Plan:
        """Look at the keys that were found, and at those of what is kept as failed, and say what is to be done."""
        kept = self.read_kept()
        survey = self.surveyor.survey(list_candidates(found.candidates, kept))
        failed = Counter(kind for kind, _ in list_failures(self.place, self.store, prefix=None, parked=False))
        is_exportable = bool(found.left_out) and choose_way(self.deployment, None, None) == EXPORT
        via = self.options.via or (EXPORT if is_exportable else KEYS)
        size = describe_table(self.deployment.table).size_bytes if via == EXPORT else 0
        usd = size / 1e9 * PRICES["DynamoDB export"][0]
        return Plan(found, survey, via, failed, kept.unknown.total(), self.reader.units, usd)

    def read_kept(self) -> FailedKeys:
        """Return the keys of what is kept as failed now."""
        return FailedKeys(self.place, self.store, self.registry, self.items.read_key_types())

    def begin(self) -> None:
        """Open the verification of the keys that are looked at: what it has seen is forgotten, however it ends."""
        self.lookup.ask("begin", via=KEYS)

    def end(self, plan: Plan, verification: Verification | None) -> None:
        """Close it with what was found: what is left of the verification, if it is known by now what that is.

        Differences that were only looked at may be changes on their way.
        """
        tally = verification.tally if verification else plan.survey.tally
        unexplained = sum(getattr(tally, verdict) for verdict in UNEXPLAINED) + plan.found.left_out
        mends = plan.found.verification.run if verification or plan.is_equal else None
        self.lookup.forget(counts=tally.as_dict(), unexplained=unexplained, whole=False, mends=mends)

    def give_up(self) -> None:
        """Forget what was seen, whatever went wrong; that is to be told, and not what this meets."""
        with suppress(click.ClickException):
            self.discard()

    def discard(self) -> None:
        """Have nothing be left of what was looked at."""
        self.lookup.forget(discard=True)

    def carry_out(self, plan: Plan) -> Verification:
        """Mend, and verify the keys."""
        self.take_up_failures()
        if plan.via == EXPORT:
            self.backfill()
            return self.verify_keys(plan.found.candidates)
        self.drain()
        # Failures that were taken up may have brought items back, or be kept no more: looked at before, and again.
        before = [Candidate(each.key, each.table, each.kept) for each in plan.survey.mend if each.kept]
        candidates = [*plan.found.candidates, *before]
        survey = self.surveyor.survey(list_candidates(candidates, self.read_kept()))
        rereader = Rereader(
            *(self.deployment, self.registry, self.mapper, self.store, self.clients.states, self.run),
            *(Pace(self.options.units), self.items),
            tell=say,
        )
        self.reread = rereader.reread(survey.list_wanted())
        mended = [Candidate(each.key, each.table) for each in (*plan.survey.mend, *survey.mend)]
        return self.verify_keys([*plan.found.candidates, *mended])

    def take_up_failures(self) -> None:
        """Reprocess what is kept as failed, if anything is. Raises ClickException where that fails."""
        if not is_anything_failed(self.place, self.store):
            return
        states, machine = self.clients.states, self.deployment.machine_arn(REPROCESS)
        if running := find_running(states, machine, self.deployment.mapping):
            self.follow(REPROCESS, find_run_id(REPROCESS, running), running.arn)
        self.start(REPROCESS, {}, reprocess_start.DEFAULTS)

    def backfill(self) -> None:
        """Have all items exported and imported, and rows without an item deleted. Raises ClickException.

        What the mapping refuses is kept as failed, however much that is: the others are mended all the same.
        """
        options = {"sweep": not self.deployment.ignores_expiries, "tolerated_rejected_percentage": 100}
        self.start(BACKFILL, options, backfill_start.DEFAULTS)

    def start(self, kind: Kind, options: starts.Options, defaults: starts.Options) -> None:
        """Start a run, and follow it to its end."""
        wanted = starts.Wanted(kind, self.deployment, None, options, defaults)
        started, arn = starts.start_execution(self.clients.states, wanted)
        self.follow(kind, started.run, arn)

    def follow(self, kind: Kind, run: str, arn: str) -> None:
        """Wait for the end of a run. Raises ClickException where it fails."""
        say(f"Waiting for the {kind.name} {run}: {name_command(kind.name, 'watch', run)}")
        while (execution := describe_execution(self.clients.states, arn)) is None or execution.is_running:
            time.sleep(RUN_POLL_SECONDS)
        if execution.status != "SUCCEEDED":
            why = f"{execution.error or execution.status}: {execution.cause or ''}"
            status = name_command(kind.name, "status", run)
            raise click.ClickException(f"The {kind.name} {run} has failed: {why} See: {status}. Then repair again.")

    def drain(self) -> None:
        """Wait until all batches are imported that landed before now, but for those that are kept as failed."""
        began = datetime.now(UTC)
        deadline = time.monotonic() + self.options.patience_seconds
        while waiting := sum(1 for _ in self._list_waiting(began)):
            if time.monotonic() >= deadline:
                say(f"{format_count(waiting, 'batch', 'batches')} still wait: what they bring is imported after this.")
                return
            time.sleep(min(POLL_SECONDS, self.options.settle_seconds / 2))

    def _list_waiting(self, before: datetime) -> Iterator[Listed]:
        """Yield the streamed batches that landed before a time, and are neither imported nor kept as failed."""
        hour = f"{self.place.processed}{before - DRAINED:%Y/%m/%d/%H}"  # as the delivery stream names its folders
        for listed in self.store.list(self.place.bucket, self.place.processed, after=hour):
            if listed.modified_at >= before or is_imported(self.store, self.place.bucket, listed.key):
                continue
            record = keys.failed_batch(self.place.mapping, unstarted_batch(self.place, listed).id)
            if not any(found.key == record for found in self.store.list(self.place.bucket, record)):
                yield listed

    def verify_keys(self, candidates: list[Candidate]) -> Verification:
        """Compare some keys, judge what does not agree, record it, and return what was found."""
        verification = Verification(self.surveyor.expecter, self.lookup)
        self.surveyor.verify(verification, {each.name: each for each in candidates}.values())
        settle, patience = self.options.settle_seconds, self.options.patience_seconds
        judge = make_suspect_judge(
            *(verification, self.items, self.place, self.store, settle, patience),
            keeps_expired=self.deployment.ignores_expiries,
        )
        verification.judge(judge)
        verification.record(self.items, reveal=False)
        return verification


def list_candidates(found: list[Candidate], kept: FailedKeys) -> Iterator[Candidate]:
    """Yield keys that were found, then those of what is kept as failed."""
    yield from found
    yield from (Candidate(each.key, each.target, each.version) for each in kept.read_newest())


def make_suffix() -> str:
    """Return what tells a run from others: its time, and something by chance."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
