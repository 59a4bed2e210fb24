"""Judge differences: what comparing an export found → the verdicts, recorded, and the verification closed.

Step by step, since a function has fifteen minutes:

    collecting   what batches were found to be is taken, then the rows of no item are looked for, by stretches
    judging      the suspects are looked at again until they agree or are proved different
    recording    what is proved is recorded
    closing      the keys that were seen are forgotten, and the verification gets its counts

How far it is stands in the landing bucket after each stretch and each step, so that a step that was cut off is repeated
and nothing is counted twice.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.verification.compare_items import Position, Suspect, find_extra_rows
from dynaurora.verification.compared_exports import take_totals
from dynaurora.verification.verdicts import TALLIED, Found, RowVerdict, Tally
from dynaurora.verification.verifier import make_suspect_judge
from dynaurora.verification.watermark import TRANSIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.dynamodb.items import TableItems
    from dynaurora.failures.list_failures import Place
    from dynaurora.verification.compared_exports import ComparedExport
    from dynaurora.verification.verifier import Verifier

JUDGING_SECONDS: Final = 420.0
"""For how long suspects are looked at again: a first and a last look at ten thousand take some minutes each."""
COLLECTING_SECONDS: Final = 600.0
"""After which a step ends between two stretches of rows, each of which takes half a minute."""


@dataclass
class DifferencesJudge:
    """Judges what comparing the export of one run found."""

    verifier: Verifier
    export: ComparedExport
    items: TableItems
    place: Place
    finds_extra: bool
    """Whether a row without an item is a difference: not where rows of expired items are kept."""
    settle_seconds: float = TRANSIT_SECONDS
    patience_seconds: float = JUDGING_SECONDS
    collecting_seconds: float = COLLECTING_SECONDS
    clock: Callable[[], float] = time.monotonic
    _progress: dict[str, Any] = field(default_factory=dict)

    def take_step(self, totals: dict[str, Any]) -> dict[str, Any] | None:
        """Take the next step; return what the verification was closed with, or None where more is to be done.

        `totals` are those of the run: what became of items that no row was compared with, and whether a batch failed. A
        step that was taken may be taken again, the last one too.
        """
        self._progress = json.loads(read_or_none(self.export.store, self.export.bucket, self._key) or b"{}")
        if "result" in self._progress:
            self.verifier.lookup.forget(**self._progress["result"])
            return dict(self._progress["result"])
        if "proved" in self._progress:
            self._restore()
            self._record(whole=not totals["batches_failed"])
        elif self._progress.get("is_collected"):
            self._restore()
            self._judge()
        else:
            self._collect(totals)
        return None

    @property
    def _key(self) -> str:
        return keys.judging(self.export.mapping.name, self.export.run)

    def _collect(self, totals: dict[str, Any]) -> None:
        """Take what batches were found to be, and look for rows of no item, as long as there is time."""
        until, key_types = self.clock() + self.collecting_seconds, self.items.read_key_types()
        left = None
        if self._progress:
            self._restore()
            left = Position(self._progress["left"][0], _as_key(self._progress["left"][1]))
        else:
            self.verifier.take(take_totals(totals))
            for compared in self.export.read_batches(key_types):
                self.verifier.take(compared)
        if not self.finds_extra:
            self._save(is_collected=True)
            return
        below = self.export.read_version()
        for compared in find_extra_rows(self.verifier.mapping, self.verifier.lookup, key_types, below, left):
            self.verifier.take(compared)
            left = compared.left
            self._save(is_collected=left is None, left=left and [left.table, left.after])
            if self.clock() >= until:
                return

    def _judge(self) -> None:
        """Look at the suspects again."""
        store, settle, patience = self.export.store, self.settle_seconds, self.patience_seconds
        judge = make_suspect_judge(
            *(self.verifier, self.items, self.place, store, settle, patience), keeps_expired=not self.finds_extra
        )
        self.verifier.judge(judge)
        self._save(is_collected=True, proved=[suspect.as_dict() for suspect in self.verifier.proved])

    def _record(self, *, whole: bool) -> None:
        """Record what is proved."""
        self.verifier.proved = [_read_suspect(one) for one in self._progress["proved"]]
        self.verifier.record(self.items, reveal=False)
        self._save(is_collected=True, result=self.verifier.make_result(whole=whole))

    def _save(self, **more: Any) -> None:
        """Keep how far it is."""
        tally = self.verifier.tally
        document = {
            "counts": tally.as_dict(),
            "reasons": dict(tally.reasons),
            "unproved": self.verifier.unproved,
            "suspects": [suspect.as_dict() for suspect in self.verifier.suspects],
            **more,
        }
        self.export.store.write(self.export.bucket, self._key, json.dumps(document).encode())

    def _restore(self) -> None:
        """Go on from what was kept."""
        counts = {name: self._progress["counts"][name] for name in TALLIED}
        self.verifier.tally = Tally(**counts, reasons=Counter(self._progress["reasons"]))
        self.verifier.unproved = self._progress["unproved"]
        self.verifier.suspects = [_read_suspect(one) for one in self._progress["suspects"]]


def _read_suspect(document: dict[str, Any]) -> Suspect:
    finding = Found(RowVerdict(document["verdict"]), tuple(document.get("columns", ())))
    return Suspect(document["target"], document["key"], finding)


def _as_key(fields: list[str] | None) -> tuple[str, ...] | None:
    return None if fields is None else tuple(fields)
