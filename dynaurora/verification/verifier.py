"""A verification as it goes on: what was compared is counted, suspects are judged, and what is proved is recorded.

Whoever reads the items gives what it compared; the rest is the same for an export and a scan, on AWS and anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dynaurora.dynamodb.source import AwsSource
from dynaurora.failures.failed_keys import write_key
from dynaurora.verification.compare_items import Compared, Suspect, find_extra_rows
from dynaurora.verification.expectations import WantedKind
from dynaurora.verification.function_lookup import divide_rows
from dynaurora.verification.judging import POLL_SECONDS, SuspectJudge
from dynaurora.verification.kept_failures import KeptFailures
from dynaurora.verification.pending_batches import PendingBatches
from dynaurora.verification.verdicts import SUSPICIOUS, UNEXPLAINED, Found, RowVerdict, Tally
from dynaurora.verification.watermark import Watermark

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.items import TableItems
    from dynaurora.failures.list_failures import Place
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.expectations import Expecter
    from dynaurora.verification.function_lookup import FunctionLookup

EXTRA: Final = Found(RowVerdict.EXTRA)
MOST_SUSPECTS: Final = 10_000
"""Of those that are looked at again; a table with more has been told enough of."""
RECORDED: Final = 200
"""Differences that are recorded at a time."""


@dataclass
class Verifier:
    """One verification, as it goes on."""

    expecter: Expecter
    lookup: FunctionLookup
    tell: Callable[[Tally], None] = lambda _tally: None
    """Is told how far it is."""
    tally: Tally = field(default_factory=Tally)
    suspects: list[Suspect] = field(default_factory=list)
    unproved: int = 0
    """Suspects beyond those that are looked at again: counted as what they seemed to be."""
    proved: list[Suspect] = field(default_factory=list)
    """What is unexplained, and what is as an older mapping wrote it: a repair mends both."""

    @property
    def mapping(self) -> Mapping:
        """The mapping that items are compared by."""
        return self.expecter.mapping

    def find_extra_rows(self, key_types: dict[str, str], below: int | None = None) -> None:
        """Find the rows that no item was seen of, once all items were; of a snapshot, those below its version."""
        for compared in find_extra_rows(self.mapping, self.lookup, key_types, below):
            self.take(compared)

    def make_result(self, *, whole: bool) -> dict[str, Any]:
        """Return what the verification is closed with; `whole` tells whether all items were compared."""
        unexplained = sum(getattr(self.tally, verdict) for verdict in UNEXPLAINED)
        return {"counts": self.tally.as_dict(), "unexplained": unexplained, "whole": whole}

    def judge(self, judge: SuspectJudge) -> None:
        """Look at the suspects again."""
        extra = {(each.table, write_key(each.key)) for each in self.suspects if each.finding == EXTRA}
        for judged in judge.judge(self.suspects):
            is_row_alone = (judged.table, write_key(judged.key)) in extra  # no item that was compared
            if not is_row_alone or judged.finding.verdict in {*SUSPICIOUS, RowVerdict.BEHIND}:
                self.tally.count(judged.finding)
            if judged.finding.verdict in {*UNEXPLAINED, RowVerdict.OLDER_MAPPING}:
                self.proved.append(judged)
            self.tell(self.tally)

    def record(self, items: TableItems, *, reveal: bool) -> None:
        """Record what was proved, so many at a time."""
        first = 1
        for start in range(0, len(self.proved), RECORDED):
            entries = [self._describe(each, items) for each in self.proved[start : start + RECORDED]]
            for some in divide_rows(entries):
                first += self.lookup.ask("record", differences=some, first=first, reveal=reveal)["rows"]

    def take(self, compared: Compared) -> None:
        """Count what was compared; suspects are looked at later, as long as there are not too many."""
        self.tally.add(compared.tally)
        self.unproved += compared.untold
        for suspect in compared.suspects:
            if len(self.suspects) < MOST_SUSPECTS:
                self.suspects.append(suspect)
            else:
                self.tally.count(suspect.finding)
                self.unproved += 1
        self.tell(self.tally)

    def _describe(self, suspect: Suspect, items: TableItems) -> dict[str, Any]:
        if not suspect.finding.columns:
            return suspect.as_dict()
        (expected,) = self.expecter.expect(suspect.key, items.read_item(suspect.key), suspect.table)
        wanted = expected.expectation
        is_row = wanted is not None and wanted.kind is WantedKind.ROW
        return {**suspect.as_dict(), "expectation": wanted.encode() if wanted and is_row else None}


def make_suspect_judge(
    verifier: Verifier,
    items: TableItems,
    place: Place,
    store: ObjectStore,
    settle_seconds: float,
    patience: float,
    *,
    keeps_expired: bool = False,
) -> SuspectJudge:
    """Return what judges a verification's suspects: for so many seconds, `patience`, once changes settle in so many.

    The place has to name what reads the stream.
    """
    mapping = verifier.mapping
    pending = PendingBatches(place, store, mapping)
    columns = zip(mapping.key_attributes, mapping.key_columns, strict=True)
    decimals = frozenset(name for name, column in columns if column.type.kind == "DECIMAL")
    source = AwsSource(place.table, place.readers[0])
    return SuspectJudge(
        expecter=verifier.expecter,
        lookup=verifier.lookup,
        items=items,
        find_watermark=Watermark(pending, settle_seconds, source.is_read).find,
        find_pending=pending.find,
        is_kept=KeptFailures(place, store, decimals).has,
        keeps_expired=keeps_expired,
        poll_seconds=min(POLL_SECONDS, settle_seconds / 2),
        patience_seconds=patience,
    )
