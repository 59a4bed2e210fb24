"""What a reprocess would take up, and what of it would pass, before it is started."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backfill.failures.counts import noting_progress
from backfill.failures.reader import RECORD
from backfill.failures.verdicts import IGNORED, PASSES, REFUSED
from backfill.terminal.formatting import format_bytes, format_count
from dynaurora.failures.list_failures import BATCH, CONVERSION, SUPERSEDED, UNSTARTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.failures.reader import Failure, FailureReader, Selection
    from backfill.runs.reports import Pair

UNJUDGED = "unjudged"
WAYS = {
    BATCH: "import again",
    CONVERSION: "convert again, then import",
    UNSTARTED: "import for the first time",
    SUPERSEDED: "forget, since their records are kept themselves",
}
"""What is done about a batch, by its kind."""


@dataclass
class Preview:
    """What a run would take up, counted."""

    objects: int = 0
    size: int = 0
    """Of the objects, in bytes."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Records, and batches by how they are taken up."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """What the mapping says of the records."""
    reasons: Counter[str] = field(default_factory=Counter)
    """The first reason of each record that would be refused again."""
    errors: Counter[str] = field(default_factory=Counter)
    """What the batches failed with."""

    @property
    def failures(self) -> int:
        """All of them."""
        return self.kinds.total()

    def add(self, failure: Failure) -> None:
        """Take one more failure."""
        self.kinds[failure.kind] += 1
        if failure.kind != RECORD:
            self.errors[failure.error] += 1
            return
        self.outcomes[failure.verdict.outcome if failure.verdict else UNJUDGED] += 1
        if failure.verdict and failure.verdict.outcome == REFUSED:
            self.reasons[failure.labels[0]] += 1

    def as_dict(self) -> dict[str, Any]:
        """Return the preview for machines."""
        outcomes = {outcome: self.outcomes[outcome] for outcome in (PASSES, REFUSED, IGNORED, UNJUDGED)}
        return {
            "objects": self.objects,
            "bytes": self.size,
            "records": {"all": self.kinds[RECORD], **outcomes},
            "reasons": dict(self.reasons.most_common()),
            "batches": {
                "import": self.kinds[BATCH] + self.kinds[UNSTARTED],
                "convert": self.kinds[CONVERSION],
                "forget": self.kinds[SUPERSEDED],
            },
            "errors": dict(self.errors.most_common()),
        }


def preview_reprocess(reader: FailureReader, selection: Selection) -> Preview:
    """Return what a run over a selection would take up."""
    preview = Preview()

    def read() -> Iterator[Failure]:
        for (_, listed), failures in reader.read_objects(reader.list_objects(selection)):
            preview.objects += 1
            preview.size += listed.size
            yield from failures

    for failure in noting_progress(read()):
        preview.add(failure)
    return preview


def describe_preview(preview: Preview) -> Iterator[Pair]:
    """Yield a preview as names and values."""
    yield "objects", f"{format_count(preview.objects)} ({format_bytes(preview.size)})"
    yield "records", format_count(preview.kinds[RECORD])
    if preview.outcomes[UNJUDGED]:
        yield "", "not judged: the mapping is not on this machine"
    elif preview.kinds[RECORD]:
        yield "", f"{format_count(preview.outcomes[PASSES])} would pass"
        if preview.outcomes[IGNORED]:
            yield "", f"{format_count(preview.outcomes[IGNORED])} would be ignored: deleted by Time to Live"
        yield "", f"{format_count(preview.outcomes[REFUSED])} would be refused again"
        yield from (("", f"  {format_count(count)} {reason}") for reason, count in preview.reasons.most_common())
    yield "batches", format_count(sum(preview.kinds[kind] for kind in WAYS))
    yield from (("", f"{preview.kinds[kind]:,} to {way}") for kind, way in WAYS.items() if preview.kinds[kind])
    yield from (("", f"  {format_count(count)} {error}") for error, count in preview.errors.most_common())
