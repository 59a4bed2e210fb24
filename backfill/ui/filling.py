"""The templates of the status page, and what they say things with: the words of the commands."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from backfill.failures.describe import HEADER, describe_failure, print_revealed
from backfill.failures.reader import RECORD
from backfill.kinds import BACKFILL
from backfill.overview import telling
from backfill.runs.describe import describe_batches, describe_rows, describe_state
from backfill.runs.reports import describe_report, describe_reprocess_report
from backfill.terminal.console import name_command
from backfill.terminal.formatting import format_iso, format_usd
from backfill.ui import sparks
from backfill.ui.documents import find_runbook, has_document
from backfill.ui.parts import find_page, is_revealed
from dynaurora.pages.environment import make_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment

    from backfill.kinds import Kind
    from backfill.runs.reports import Pair, Report

TEMPLATES: Final = Path(__file__).parent / "templates"


def make_page_environment() -> Environment:
    """Return what fills the templates of pages."""
    environment = make_environment([TEMPLATES])
    environment.globals |= {
        "RECORD": RECORD,
        "telling": telling,
        "describe_failure": describe_failure,
        "describe_batches": describe_batches,
        "describe_rows": describe_rows,
        "describe_state": describe_state,
        "describe_reported": describe_reported,
        "draw_spark": sparks.draw_spark,
        "draw_lag": sparks.draw_lag,
        "is_revealed": is_revealed,
        "find_page": find_page,
        "has_document": has_document,
        "find_runbook": find_runbook,
    }
    environment.filters |= {
        "segment": lambda text: quote(str(text), safe=""),
        "iso": format_iso,
        "revealed": print_revealed,
        "by_header": lambda entry: dict(zip(HEADER, entry.cells, strict=True)),
    }
    return environment


def describe_reported(kind: Kind, report: Report) -> Iterator[Pair]:
    """Yield what a report says but for its phases, which a page draws, and parts of its cost; and what opens it."""
    told = describe_report(report) if kind is BACKFILL else describe_reprocess_report(report)
    yield from takewhile(lambda pair: pair[0] != "phases", told)
    if cost := report.get("cost"):
        yield "cost", f"about {format_usd(cost['total_usd'])}"
    yield "its page", name_command("report", str(report["run"]), "--open")
