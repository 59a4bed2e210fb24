"""A failure as people read it: one line, or explained in full."""

from __future__ import annotations

import json
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from backfill.failures.reader import RECORD
from backfill.failures.verdicts import IGNORED, LABELS, PASSES, READ_AGAIN, REFUSED
from backfill.terminal.console import name_command
from backfill.terminal.formatting import format_count, format_time, shorten
from dynaurora.errors import remedy_for
from dynaurora.failures.list_failures import CONVERSION
from dynaurora.failures.runbooks import FAILED_RECORDS_RUNBOOK, runbook_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.failures.reader import Failure
    from backfill.failures.verdicts import Verdict
    from backfill.runs.reports import Pair

HEADER: Final = ("ID", "KIND", "FIRST SEEN", "TRIES", "PARKED", "ITEM OR BATCH", "RULE", "WHERE", "WHAT IT SAYS")
ARCHIVED_HEADER: Final = (*HEADER[:4], "ARCHIVED", *HEADER[5:])
NUMERIC: Final = frozenset({3})
DETAILS: Final = (5, 6, 7, 8)
"""What stands below the others on a narrow terminal."""
CELL_WIDTH: Final = 100
ITEM_WIDTH: Final = 60
TYPES_SHOWN: Final = frozenset({"S", "N", "B"})
"""Types of key attributes."""


def summarize_failure(failure: Failure) -> tuple[str, ...]:
    """Return a failure as the cells of one line."""
    rule, where, message = _explain_briefly(failure)
    return (
        failure.id,
        failure.kind,
        format_time(failure.first_seen_at),
        str(failure.attempts),
        failure.archived or ("yes" if failure.is_parked else ""),
        shorten(name_subject(failure), ITEM_WIDTH),
        rule,
        where,
        shorten(message, CELL_WIDTH),
    )


def _explain_briefly(failure: Failure) -> tuple[str, str, str]:
    """Return the rule, where in the item it is broken, and what was found and is allowed."""
    verdict = failure.verdict
    if verdict is None and failure.reasons:
        first = failure.reasons[0]
        return make_printable(first.rule), make_printable(first.path), make_printable(first.message)
    if verdict is None:
        return make_printable(failure.error), "", make_printable(failure.masked_message)
    if failure.import_error:
        return "import", "", make_printable(f"{failure.import_error}: {failure.masked_message}")
    if verdict.outcome == READ_AGAIN:
        return "SQL", "", make_printable(failure.masked_message)
    if verdict.outcome != REFUSED:
        return "", "", LABELS[verdict.outcome]
    first, *others = verdict.reasons
    more = f" (and {format_count(len(others), 'more reason')})" if others else ""
    return first.rule, make_printable(first.path), make_printable(first.message) + more


def describe_failure(
    failure: Failure, again: str, mapping: str, *, reveal: bool, superseded: bool | None = None
) -> Iterator[Pair]:
    """Yield all that is known of a failure but what the item holds, as names and values; `again` takes it up."""
    state = f", {failure.archived}" if failure.archived else ", parked" if failure.is_parked else ""
    yield "failure", f"{failure.id}, a {failure.kind}{state}"
    yield from _describe_record(failure) if failure.kind == RECORD else _describe_batch(failure)
    if superseded:
        yield "superseded", "the item's row is newer: nothing would come of it, and the next reprocess archives it"
    yield "first seen", format_time(failure.first_seen_at)
    yield "last tried", format_time(failure.last_tried_at)
    yield "attempts", describe_attempts(failure)
    yield "error then", make_printable(f"{failure.error}: {failure.message if reveal else failure.masked_message}")
    for name, reason in zip(chain(["reason then"], repeat("and")), failure.reasons, strict=False):
        yield name, f"the rule {make_printable(reason.rule)}, at {make_printable(reason.path) or 'the record itself'}"
    if failure.verdict:
        yield from describe_verdict(failure.verdict)
    elif failure.kind == RECORD:
        yield "mapping now", "unknown: it is not on this machine"
    where = f", record {failure.number:,}" if failure.kind == RECORD else ""
    yield "kept in", f"s3://{failure.bucket}/{make_printable(failure.key)}{where}"
    is_mapping = failure.kind == RECORD and not failure.import_error
    yield "runbook", FAILED_RECORDS_RUNBOOK if is_mapping else runbook_for(failure.import_error or failure.error)
    yield from _describe_next(failure, mapping)
    yield "", again


def _describe_record(failure: Failure) -> Iterator[Pair]:
    yield "item", name_subject(failure)
    if failure.verdict and failure.verdict.version is not None:
        kind = "refused" if failure.verdict.is_delete is None else "delete" if failure.verdict.is_delete else "put"
        yield "change", f"{kind}, version {failure.verdict.version}"
    yield "size", format_count(len(failure.data), "byte")


def _describe_batch(failure: Failure) -> Iterator[Pair]:
    yield "batch", make_printable(failure.batch_id)
    planned = failure.batch.get("conversion" if failure.kind == CONVERSION else "batch")
    descriptor = planned if isinstance(planned, dict) else {}
    for name in ("source", "run", "rows"):
        if descriptor.get(name) is not None:
            yield name, make_printable(str(descriptor[name]))
    for item in _list_objects(descriptor):
        yield "object", make_printable(item)
    if execution := failure.batch.get("execution"):
        yield "execution", make_printable(str(execution))


def _list_objects(descriptor: dict[str, Any]) -> Iterator[str]:
    objects = descriptor.get("objects")
    for item in objects if isinstance(objects, list) else ():
        if isinstance(item, dict):
            yield f"s3://{item.get('bucket')}/{item.get('key')}"


def describe_attempts(failure: Failure) -> str:
    """Return how often it was tried, in words."""
    again = f", {failure.reprocessed} of them by a reprocess" if failure.reprocessed else ""
    return f"{format_count(failure.attempts)}{again}"


def describe_verdict(verdict: Verdict) -> Iterator[Pair]:
    """Yield what the mapping on this machine says of a record, reason by reason."""
    if verdict.outcome != REFUSED:
        yield "mapping now", LABELS[verdict.outcome]
        return
    name = "mapping now"
    for reason in verdict.reasons:
        yield name, f"refuses it by the rule {reason.rule}, at {make_printable(reason.path) or 'the record itself'}"
        yield "", f"which {make_printable(reason.message)}"
        name = "and"


def _describe_next(failure: Failure, mapping: str) -> Iterator[Pair]:
    outcome = failure.verdict.outcome if failure.verdict else None
    if failure.archived:
        yield "next", "Nothing: it is not tried any more. This brings it back, for the next reprocess:"
    elif failure.kind != RECORD:
        remedy = failure.batch.get("remedy")
        yield "next", make_printable(str(remedy)) if remedy else "Mend the cause, then take it up again."
    elif failure.names_records:
        yield "next", f"Fill the gap that `{name_command('doctor', mapping)}` names, by its command; then discard this:"
    elif failure.import_error:
        yield "next", remedy_for(failure.import_error)
    elif outcome == READ_AGAIN:
        yield "next", "Mend the column, constraint or trigger that refuses the row; then take it up again."
    elif outcome in {PASSES, IGNORED}:
        yield "next", "Nothing has to be mended if the deployed mapping is this one; take it up again."
    else:
        yield "next", f"Mend the mapping, mappings/{mapping}.json, and deploy it; then take it up again."
        yield "", "Or put a whole item of this key into DynamoDB; its row then comes from that."


def name_subject(failure: Failure) -> str:
    """Return what a failure is about: the item by its key, or the batch by its id."""
    if failure.kind != RECORD:
        return make_printable(failure.batch_id)
    key = failure.verdict.key if failure.verdict else None
    return ", ".join(f"{name}={read_key(value)}" for name, value in (key or {}).items()) or "unknown"


def read_key(value: Any) -> str:
    """Return the text of a key attribute in DynamoDB's JSON; a question mark where it is none."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, text),) = value.items()
        if kind in TYPES_SHOWN and isinstance(text, str):
            return make_printable(text)
    return "?"


def print_revealed(data: bytes) -> str:
    """Return a record as it was sent, as indented JSON where it is JSON."""
    try:
        text = json.dumps(json.loads(data), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = data.decode("utf-8", "backslashreplace")
    return "\n".join(map(make_printable, text.split("\n")))


def make_printable(text: str) -> str:
    """Return a text that a terminal only prints: what could control it is escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
        for char in text
    )
