"""How a replication stands, and what is to be done about it.

Whatever could not be seen is something to be done too: nobody knows that it is well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from backfill.deployment.losses import describe_loss, name_mending, show
from backfill.deployment.schedules import bound_period
from backfill.deployment.stream_readers import CHANGING, MISSING, describe_stop
from backfill.terminal.console import name_command
from backfill.terminal.formatting import format_count, format_seconds, format_time, parse_iso, shorten
from dynaurora.runs import runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.deployment.deployments import Deployment
    from backfill.deployment.lags import Lag
    from backfill.deployment.stream_readers import StreamReader
    from backfill.overview.facts import Facts
    from backfill.overview.kept import Kept
    from dynaurora.mappings.readers import Stretch

LATE_SECONDS: Final = 600
"""Beyond what the buffers explain: as the alarm of late rows has it (infra/replication.yaml)."""
OLD_SECONDS: Final = 300
"""Age of what a reader takes, as the alarm of old iterators has it."""
LATE_ROWS: Final = "docs/runbooks/late-rows.md"
AURORA_DOWN: Final = "docs/runbooks/aurora-down.md"
REASON_LENGTH: Final = 200
LATE_VERIFICATION: Final = timedelta(days=1)
"""Beyond its period, or as much as that again: a large table takes hours to export and compare."""


@dataclass(frozen=True, slots=True)
class Todo:
    """Something to be done."""

    problem: str
    remedy: str
    """A command, or a page of docs/."""
    about: str
    """Which part of the standing it is of: `reader`, `lag`, `rows`, `failed`, `parked`, `backfill` or `verified`."""


@dataclass(frozen=True)
class Standing:
    """A replication as it stood at a time."""

    deployment: Deployment
    seen_at: datetime
    reader: StreamReader | None = None
    stream_problem: str | None = None
    """Why the reader, though it is on, does not read the table's changes."""
    lag: Lag | None = None
    kept: Kept | None = None
    facts: Facts = field(default_factory=dict)
    losses: tuple[Stretch, ...] | None = ()
    """The stretches of time that the stream may have lost records of."""
    unseen: dict[str, str] = field(default_factory=dict)
    """Why something is None, by what it is of."""

    @property
    def todo(self) -> list[Todo]:
        """What is to be done, the most urgent first; nothing where all is well."""
        return [
            *self._about_reader(),
            *self._about_losses(),
            *self.about_lag(),
            *self.about_failures(),
            *self._about_database(),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        one, reader, kept, lag = self.deployment, self.reader, self.kept, self.lag
        of_reader = reader.as_dict(self.seen_at) if reader else dict.fromkeys(READER_FIELDS)
        todo = self.todo
        return {
            "mapping": one.mapping,
            "stack": one.stack,
            "table": one.table,
            "well": not todo,
            **of_reader,
            "lag_seconds": lag.rows if lag else None,
            "reader_lag_seconds": lag.reader if lag else None,
            "failed": kept.failed if kept else None,
            "parked": kept.parked if kept else None,
            "failures_counted": kept.is_all if kept else None,
            "rows": (self.facts.get("rows") or {}).get("count"),
            "rows_exact": (self.facts.get("rows") or {}).get("exact"),
            "last_import_at": self.facts.get("last_import_at"),
            "backfill": self.facts.get("backfill"),
            "verification": self.facts.get("verification"),
            "verification_run": self.facts.get("verification_run"),
            "verification_schedule": one.verification_schedule or None,
            "losses": None if self.losses is None else [{"from": show(a), "to": show(b)} for a, b in self.losses],
            "todo": [{"problem": each.problem, "next": each.remedy} for each in todo],
        }

    def _about_reader(self) -> Iterator[Todo]:
        reader, name = self.reader, self.deployment.mapping
        if reader is None:
            yield Todo(f"its reader cannot be seen: {self.unseen.get('reader')}", self._doctor(), "reader")
        elif reader.state == MISSING:
            yield Todo("nothing reads its stream", name_command("deploy", name), "reader")
        elif reader.is_stopped:
            yield Todo(f"its reader {describe_stop(reader, self.seen_at)}", name_command("resume", name), "reader")
        elif self.stream_problem and reader.state != CHANGING:
            yield Todo(self.stream_problem, self._doctor(), "reader")

    def _about_losses(self) -> Iterator[Todo]:
        if self.losses is None:
            yield Todo(f"what its stream lost cannot be seen: {self.unseen.get('losses')}", self._doctor(), "reader")
        for stretch in self.losses or ():
            yield Todo(describe_loss(stretch), name_mending(self.deployment, stretch), "reader")

    def about_lag(self) -> Iterator[Todo]:
        """Yield whether rows, or what the reader takes, are late."""
        if self.lag is None:
            yield Todo(f"its lag cannot be seen: {self.unseen.get('lag')}", self._doctor(), "lag")
            return
        if self.lag.reader is not None and self.lag.reader > OLD_SECONDS:
            yield Todo(f"its reader is {format_seconds(self.lag.reader)} behind the stream", LATE_ROWS, "lag")
        elif self.lag.rows is not None and self.lag.rows > self.deployment.buffer_seconds + LATE_SECONDS:
            yield Todo(f"rows are {format_seconds(self.lag.rows)} late", LATE_ROWS, "lag")

    def about_failures(self) -> Iterator[Todo]:
        """Yield what is kept as failed, and what is parked."""
        kept, name = self.kept, self.deployment.mapping
        if kept is None:
            yield Todo(f"what failed cannot be seen: {self.unseen.get('failed')}", self._doctor(), "failed")
            return
        more = "" if kept.is_all else "at least "
        if kept.failed:
            problem = f"{more}{format_count(kept.failed, 'failure')} kept"
            yield Todo(problem, name_command("failures", "count", name), "failed")
        if kept.parked:
            problem = f"{more}{format_count(kept.parked, 'failure')} parked, which nothing takes up by itself"
            yield Todo(problem, name_command("failures", "list", name, "--parked"), "parked")

    def _about_database(self) -> Iterator[Todo]:
        if "error" in self.facts:
            yield Todo(f"the database cannot be asked: {self.facts['error']}", AURORA_DOWN, "rows")
            return
        yield from self._about_backfill()
        yield from self._about_verification()
        yield from self.about_verification_runs()

    def _about_backfill(self) -> Iterator[Todo]:
        backfill, name = self.facts.get("backfill"), self.deployment.mapping
        if self._is_verified_since(backfill):
            return
        if backfill is None:
            problem = "it was never backfilled: what its table had before its stream may be missing"
            yield Todo(problem, name_command("backfill", "start", name, "--watch"), "backfill")
        elif backfill["state"] in {runs.FAILED, runs.STOPPED}:
            reason = f": {shorten(backfill['reason'], REASON_LENGTH)}" if backfill["reason"] else ""
            problem = f"its last backfill {backfill['state'].lower()}{reason}"
            yield Todo(problem, name_command("backfill", "status", backfill["run"]), "backfill")

    def _is_verified_since(self, backfill: dict[str, Any] | None) -> bool:
        """Whether all rows were found equal after a backfill: it does not matter any more how that ended."""
        verified = self.facts.get("verification")
        if not verified or verified["unexplained"]:
            return False
        ended = parse_iso(backfill["ended_at"] or backfill["started_at"]) if backfill else None
        verified_at = parse_iso(verified["ended_at"])
        return ended is None or verified_at is None or verified_at > ended

    def _about_verification(self) -> Iterator[Todo]:
        verified, name = self.facts.get("verification"), self.deployment.mapping
        if verified is None:
            yield Todo("it was never verified", name_command("verify", name), "verified")
        elif verified["unexplained"]:
            differing = format_count(verified["unexplained"], "row differs", "rows differ")
            when = format_time(parse_iso(verified["ended_at"]))
            yield Todo(f"{differing} without an explanation ({when})", name_command("repair", name), "verified")

    def about_verification_runs(self) -> Iterator[Todo]:
        """Yield whether the last run that was to verify has failed, and whether its schedule is overdue."""
        run, verified = self.facts.get("verification_run"), self.facts.get("verification")
        name, ended_at = self.deployment.mapping, parse_iso(verified["ended_at"]) if verified else None
        began_at = parse_iso(run["started_at"]) if run else None
        is_newer = began_at is not None and (ended_at is None or ended_at < began_at)
        if run and is_newer and run["state"] in {runs.FAILED, runs.STOPPED}:
            reason = f": {shorten(run['reason'], REASON_LENGTH)}" if run["reason"] else ""
            problem = f"its last verification {run['state'].lower()}{reason}"
            yield Todo(problem, name_command("verify", name, "--run", run["run"]), "verified")
            return
        period = bound_period(self.deployment.verification_schedule)
        is_running = run is not None and run["state"] == runs.RUNNING
        if period is None or ended_at is None or is_running:
            return
        if self.seen_at - ended_at > period + min(period, LATE_VERIFICATION):
            schedule, when = self.deployment.verification_schedule, format_time(ended_at)
            problem = f"it is to be verified by {schedule}, and was last at {when}"
            yield Todo(problem, name_command("verify", name), "verified")

    def _doctor(self) -> str:
        return name_command("doctor", self.deployment.mapping)


READER_FIELDS: Final = ("reader", "paused_at", "resume_by", "seconds_left")


def now() -> datetime:
    """Return the time that a look is of."""
    return datetime.now(UTC)
