"""Judging a failed record: what the mapping on this machine says of it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from backfill.project import load_mapping
from backfill.terminal.console import say
from dynaurora.dynamodb.changes import encode_change
from dynaurora.errors import RejectedChange, UnknownMappingError
from dynaurora.failures.failed_records import read_change
from dynaurora.failures.refused_rows import decode_refused_row
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.routing import Router, reasons_of

if TYPE_CHECKING:
    from backfill.deployment.deployments import Deployment
    from dynaurora.dynamodb.changes import Change, TypedItem
    from dynaurora.errors import Reason
    from dynaurora.mappings.row_mapper import RowMapper

PASSES: Final = "passes"
IGNORED: Final = "ignored"
REFUSED: Final = "refused"
READ_AGAIN: Final = "read again"
LABELS: Final = {
    PASSES: "passes now",
    IGNORED: "ignored: deleted by Time to Live",
    READ_AGAIN: "a row that Aurora refused: its item is read again",
}
"""What a record that is not refused is counted as."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a record now, and what it is."""

    outcome: str
    """PASSES, IGNORED, REFUSED or, of a row that Aurora refused, READ_AGAIN."""
    reasons: tuple[Reason, ...] = ()
    key: TypedItem | None = None
    """The item's key attributes; None where the record is no change."""
    version: int | None = None
    is_delete: bool | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """What the record is counted as: where and by which rule, as the ledger and the reports have it."""
        if self.outcome != REFUSED:
            return (LABELS[self.outcome],)
        return tuple(f"{reason.path or 'record'} ({reason.rule})" for reason in self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for machines."""
        return {"outcome": self.outcome, "reasons": [reason._asdict() for reason in self.reasons]}


@dataclass(frozen=True)
class Judge:
    """Judges records by one mapping."""

    mapper: RowMapper
    ignores_expiries: bool = False

    def judge(self, data: bytes, target: str | None = None) -> Verdict:
        """Return what becomes of a record; `target` is the table of the one target that it is missing in, if any."""
        change = None
        try:
            row = decode_refused_row(data)
            if row is not None:
                key = {name: {"S": text} for name, text in row.keys.items()}  # of which type, only the table knows
                return Verdict(READ_AGAIN, key=key, version=row.version)
            change = read_change(data, ignore_expiries=self.ignores_expiries)
            if change is None:
                return Verdict(IGNORED)
            if self.mapper.mapping.routes:
                reasons = self._route(change, target)
                return self._describe(change, REFUSED if reasons else PASSES, reasons)
            encode_row(self.mapper.row(change))
        except RejectedChange as error:
            return self._describe(change, REFUSED, error.reasons)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this record's: the others are judged too)
            return self._describe(change, REFUSED, reasons_of(error))
        return self._describe(change, PASSES)

    def _route(self, change: Change, target: str | None) -> tuple[Reason, ...]:
        """Return why any of the targets refuses a change, or the one that it is missing in."""
        router = Router(self.mapper)
        routing = router.begin()
        router.route_change(routing, 0, change, encode_change(change), router.find_mapper(target or ""))
        refusals = [refusals for routed in routing.targets for _, refusals in [routed.write()]]
        return tuple(reason for each in refusals for _, reasons in each.values() for reason in reasons)

    def _describe(self, change: Change | None, outcome: str, reasons: tuple[Reason, ...] = ()) -> Verdict:
        if change is None:
            return Verdict(outcome, reasons)
        key = change.key(self.mapper.mapping.key_attributes)
        return Verdict(outcome, reasons, key, change.version, change.is_delete)


def load_judge(deployment: Deployment) -> Judge | None:
    """Return a judge by this machine's mapping of a deployment; None, which is told, where it has none."""
    from dynaurora.mappings.sandbox import choose_row_mapper  # takes a second, which most commands do not need

    try:
        return Judge(choose_row_mapper(load_mapping(deployment.mapping)), deployment.ignores_expiries)
    except UnknownMappingError as error:
        say(f"Records cannot be judged here: {error.problem} Run this in the project that has it.")
        return None
