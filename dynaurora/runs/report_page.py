"""The page of a report: what `report.json` says, for people, as `report.html` beside it.

One file that loads nothing and runs nothing. Whatever it shows is of others, and escaped; long values are cut, and
lists have an end, so that a page stays small whatever the run was.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.batches.retry_notes import MOST_NOTES
from dynaurora.failures.runbooks import read_runbook
from dynaurora.pages.environment import make_environment
from dynaurora.pages.formatting import format_count, format_rate, format_seconds, format_usd
from dynaurora.runs.ends import format_percentage
from dynaurora.runs.report_pace import SMALL, draw_pace, find_pace
from dynaurora.runs.report_verdicts import (
    BAD,
    GOOD,
    REPROCESS_KIND,
    VERIFICATION_KIND,
    WARN,
    ReportVerdict,
    judge_report,
    name_kind,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Template

    from dynaurora.aws.objects import ObjectStore

MOST_BATCHES: Final = 40
"""Failed batches that are shown; the report has a hundred."""
MOST_ATTRIBUTES: Final = 20
EXECUTION: Final = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):states:(?P<region>[a-z0-9-]+):\d{12}:(execution|express):[A-Za-z0-9_:./-]+"
)
CONSOLES: Final = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
"""Hosts of the consoles, by partition (AWS General Reference, "AWS Management Console")."""
LOCAL_ACCOUNT: Final = ":000000000000:"
"""Of the local AWS, which has no console."""
TOLD_VERDICTS: Final = {
    "identical": ("equal", GOOD),
    "skipped": ("of other targets", "other"),
    "newer": ("changed since", "other"),
    "behind": ("still changing, or waiting for an import", "other"),
    "older_mapping": ("as an older mapping wrote it", WARN),
    "failed": ("refused by the mapping, or kept as failed", WARN),
    "differing": ("the row has other values", BAD),
    "missing": ("the item has no row", BAD),
    "extra": ("the row has no item", BAD),
    "impossible": ("the row's version lies in the future", BAD),
}
"""How each is told, and its colour, in the order of the picture."""


ABSENT: Final = dict.fromkeys(
    (
        *("run", "mapping", "execution", "totals", "sweep", "verification"),
        *("ignored", "failures", "differences", "cost", "warnings", "retry_causes"),
    )
)
"""What reports of some kinds have, and others have not."""


@dataclass(frozen=True, slots=True)
class AccountPart:
    """A part of an account: how many of the whole, and where its bar begins."""

    label: str
    count: int
    kind: str
    start: int
    share: str


@dataclass(frozen=True, slots=True)
class Account:
    """What a whole is made of, so that its parts can be seen to add up."""

    title: str
    whole_label: str
    whole: int
    parts: tuple[AccountPart, ...]

    @property
    def sum(self) -> int:
        """The parts together."""
        return sum(part.count for part in self.parts)


@dataclass(frozen=True, slots=True)
class Span:
    """A phase of a run, and when it began, in seconds."""

    name: str
    seconds: float
    start: float


@dataclass(slots=True)
class Page:
    """What the page of a report shows."""

    kind: str
    report: dict[str, Any]
    verdict: ReportVerdict
    figures: list[tuple[str, str]] = field(default_factory=list)
    """Labels and values, the most important first."""
    accounts: list[Account] = field(default_factory=list)
    refusals: list[tuple[str, int, str, list[str]]] = field(default_factory=list)
    """Reason, how many, their share, and examples of keys."""
    spans: list[Span] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Of the page."""
        return f"{self.kind} of {self.report.get('mapping') or 'an unknown mapping'}"

    @property
    def console(self) -> str | None:
        """The address of the execution in the console; None where it is none of AWS's."""
        return find_console(str(self.report.get("execution") or ""))

    @property
    def seconds(self) -> float:
        """The phases together."""
        return sum(span.seconds for span in self.spans)

    @property
    def retries(self) -> str | None:
        """What is known of imports that were tried again; None where nothing is counted."""
        return describe_retries(self.report)

    @property
    def unanswered(self) -> int:
        """How many of those attempts, at least, the function did not answer.

        None is told where nobody can: each of several targets counts an attempt, and of very many not all are noted.
        """
        totals = self.report.get("totals") or {}
        noted: int = sum(cause["times"] for cause in self.report.get("retry_causes") or ())
        if totals.get("targets") or noted >= MOST_NOTES:
            return 0
        return max(0, int(totals.get("retries", 0)) - noted)

    @property
    def pace(self) -> dict[str, Any] | None:
        """How many rows came in each step of time; None where that is no line."""
        return find_pace(self.report)

    @property
    def runbook(self) -> str | None:
        """The text of the runbook that the verdict names; None where it names none, or it is not here."""
        return read_runbook(self.verdict.runbook) if self.verdict.runbook else None

    @property
    def ignored_further(self) -> int:
        """How often attributes were found that are not shown."""
        ignored = self.report.get("ignored") or {"attributes": [], "others": 0}
        further: int = sum(each["items"] for each in ignored["attributes"][MOST_ATTRIBUTES:])
        return further + int(ignored["others"])

    def write_key(self, key: Any) -> str:
        """Return a key as one reads it."""
        return write_example(key)


def render_report(report: dict[str, Any]) -> str:
    """Return the page of a report, of whatever kind and release."""
    whole = ABSENT | report
    bounds = {"most_batches": MOST_BATCHES, "most_attributes": MOST_ATTRIBUTES, "small": SMALL}
    return find_template().render(page=make_page(report), report=whole, draw_pace=draw_pace, **bounds)


def write_report(store: ObjectStore, bucket: str, mapping: str, run: str, report: dict[str, Any]) -> str | None:
    """Write a report and its page; return why there is no page, where it could not be made.

    A run ends as it did, whatever is wrong with its page: `dynaurora report` makes one of the report then.
    """
    store.write(bucket, keys.report(mapping, run), json.dumps(report, indent=2).encode())
    try:
        page = render_report(report).encode()
    except Exception as error:  # noqa: BLE001 (what is written of others may be as nobody has foreseen)
        return f"{type(error).__name__}: {error}"
    store.write(bucket, keys.report_page(mapping, run), page)
    return None


@cache
def find_template() -> Template:
    """Return the template of all reports, compiled once."""
    return make_environment().get_template("report.html")


def make_page(report: dict[str, Any]) -> Page:
    """Return what the page of a report shows."""
    kind = name_kind(report)
    page = Page(kind, report, judge_report(kind, report))
    page.spans = list_spans(report)
    page.accounts = list(list_accounts(kind, report))
    page.refusals = list_reasons_refused(report)
    page.figures = list(list_figures(kind, report))
    page.facts = list(list_facts(report))
    return page


def list_accounts(kind: str, report: Mapping[str, Any]) -> Iterator[Account]:
    """Yield the pictures that add up."""
    if found := report.get("verification"):
        parts = [(label, found["counts"].get(verdict, 0), tone) for verdict, (label, tone) in TOLD_VERDICTS.items()]
        whole = sum(count for _, count, _ in parts)
        yield draw_up("What was compared", "keys looked at", whole, parts)
    totals = report.get("totals")
    if not totals:
        return
    if kind == REPROCESS_KIND:
        newer, failed = totals["rows"] - totals["rows_changed"], totals["entries_failed"]
        rows = [("written", totals["rows_changed"], GOOD), ("already newer in Aurora", newer, "other")]
        yield draw_up("What became of the rows", "rows of records and batches", totals["rows"], rows)
        entries = [("settled", totals["entries"] - failed, GOOD), ("not settled", failed, BAD)]
        yield draw_up("What became of the work", "pieces of work", totals["entries"], entries)
        return
    for table, each in (totals.get("targets") or {"": totals}).items():
        title = "What became of the items" + (f", in {table}" if table else "")
        yield draw_up(title, "exported", totals["exported"], list_items(kind, each))


def list_items(kind: str, totals: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """Return what became of exported items, of one target or of the only one."""
    is_compared = kind == VERIFICATION_KIND
    newer = "not equal when it was compared" if is_compared else "already newer in Aurora"
    return [
        ("equal" if is_compared else "imported", totals["imported"], GOOD),
        (newer, totals["already_newer"], "other"),
        ("skipped, which this target does not take", totals.get("skipped", 0), "other"),
        ("refused by the mapping", totals["rejected"], WARN),
        ("in batches that were not imported", totals["unaccounted"], BAD),
    ]


def draw_up(title: str, whole_label: str, whole: int, parts: list[tuple[str, int, str]]) -> Account:
    """Return an account; a part that is nothing is left out, unless all are."""
    kept = [part for part in parts if part[1]] or parts[:1]
    made, start = [], 0
    for label, count, kind in kept:
        made.append(AccountPart(label, count, kind, start, format_percentage(count, whole) if whole else ""))
        start += count
    return Account(title, whole_label, whole, tuple(made))


def list_reasons_refused(report: Mapping[str, Any]) -> list[tuple[str, int, str, list[str]]]:
    """Return why items were refused, the most frequent reason first, with examples of their keys."""
    totals = report.get("totals") or {}
    reasons = totals.get("rejected_reasons") or report.get("reasons") or {}
    examples = {each["reason"]: each["keys"] for each in report.get("refused_examples") or ()}
    whole = sum(reasons.values())
    return [
        (reason, count, format_percentage(count, whole), [write_example(key) for key in examples.get(reason, ())])
        for reason, count in reasons.items()
    ]


def write_example(key: Any) -> str:
    """Return a key, typed as DynamoDB has it, as one reads it: `page_id = "/a", n = 5`."""
    if not isinstance(key, dict):
        return json.dumps(key, ensure_ascii=False)
    return ", ".join(f"{name} = {_write_value(value)}" for name, value in key.items())


def _write_value(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        ((kind, inner),) = value.items()
        return str(inner) if kind == "N" else json.dumps(inner, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def list_spans(report: Mapping[str, Any]) -> list[Span]:
    """Return the phases on the time line: each begins where the one before ended."""
    spans, start = list[Span](), 0.0
    for phase in report.get("phases") or ():
        spans.append(Span(phase["name"], phase["seconds"], start))
        start += phase["seconds"]
    return spans


def measure_rate(report: Mapping[str, Any]) -> float | None:
    """Return the rows per second of importing; None where nothing was imported, or nobody knows for how long."""
    totals = report.get("totals") or {}
    rows = totals.get("rows", totals.get("imported", 0) + totals.get("already_newer", 0))
    seconds = sum(
        phase["seconds"] for phase in report.get("phases") or () if phase["name"] in {"importing", "reprocessing"}
    )
    return rows / seconds if rows and seconds else None


def list_figures(kind: str, report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the few numbers that are read first, by what they are."""
    totals = report.get("totals") or {}
    if found := report.get("verification"):
        yield "items compared", format_count(found["counts"].get("items"))
        yield "differences", format_count(found["unexplained"])
    elif kind == REPROCESS_KIND and totals:
        yield "records mapped again", format_count(totals["records"])
        yield "rows written", format_count(totals["rows_changed"])
        yield "refused again", format_count(totals["rejected"])
    elif totals:
        yield "items exported", format_count(totals["exported"])
        yield ("rows equal" if kind == VERIFICATION_KIND else "rows imported"), format_count(totals["imported"])
        yield "refused", format_count(totals["rejected"])
    if repair := report.get("repair"):
        yield "keys read again", format_count(repair["keys"])
        yield "rows changed", format_count(repair["changed"])
    if (rate := measure_rate(report)) is not None:
        yield "rows per second", format_rate(rate).removesuffix(" rows/s")
    yield "duration", format_seconds(report.get("seconds"))
    if "retries" in totals:
        yield "retries", format_count(totals["retries"])
    if cost := report.get("cost"):
        yield "estimated cost", format_usd(cost["total_usd"])


def list_facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what one may want to look up."""
    if digest := report.get("digest"):
        generation = report.get("generation")
        yield "Mapping", digest[:16] + (f", generation {generation}" if generation is not None else "")
    if via := report.get("via"):
        yield "Items read by", via
    repair = report.get("repair") or {}
    if repair.get("verification"):
        yield "Differences of", repair["verification"]
    if export := report.get("export"):
        yield "Export", export["arn"]
        files = f"{format_count(export['files'], 'file')}, {format_count(export['batches'], 'batch', 'batches')}"
        yield "Exported as of", f"{export['time']}, {files}"
    for name, value in (report.get("options") or {}).items():
        if value not in (None, False):
            yield name.replace("_", " ").capitalize(), "yes" if value is True else str(value)


def describe_retries(report: Mapping[str, Any]) -> str | None:
    """Say how often imports were tried again, and what those failed for that were given up.

    None where nobody counted it: a reprocess, and what had no run, have causes alone.
    """
    totals = report.get("totals") or {}
    if "retries" not in totals:
        noted = sum(cause["times"] for cause in report.get("retry_causes") or ())
        return f"Imports failed {format_count(noted, 'time')}, and were tried again." if noted else None
    said = "No import had to be tried again."
    if retries := totals["retries"]:
        batches = format_count(totals.get("batches_imported", 0), "batch", "batches")
        said = f"Imports were tried again {format_count(retries, 'time')} before {batches} were in Aurora."
    causes = Counter(each["error"] for each in report.get("failures") or ())
    given_up = ", ".join(f"{error} ({count:,})" for error, count in causes.most_common())
    return f"{said} Given up for: {given_up}." if given_up else said


def find_console(execution: str) -> str | None:
    """Return the address of an execution in the console; None where its ARN is none, or of the local AWS."""
    match = EXECUTION.fullmatch(execution)
    if match is None or match["partition"] not in CONSOLES or LOCAL_ACCOUNT in execution:
        return None
    region = match["region"]
    host = CONSOLES[match["partition"]]
    return f"https://{region}.{host}/states/home?region={region}#/v2/executions/details/{execution}"
