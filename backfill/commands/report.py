"""`dynaurora report`: the page that tells what a run did."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.failures import open_private
from backfill.commands.options import json_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect, connect_objects
from backfill.deployment.deployments import choose_deployments, find_deployments
from backfill.runs.kept_reports import find_report
from backfill.terminal.console import WrongUseError, print_json, print_pairs, say
from dynaurora.runs.report_verdicts import judge_report, name_kind

if TYPE_CHECKING:
    from backfill.runs.kept_reports import KeptReport
    from dynaurora.runs.report_verdicts import ReportVerdict

EPILOG: Final = """\b
Examples:
  dynaurora report                                 what ended last
  dynaurora report --mapping web_analytics --open
  dynaurora report 20261123T081500Z -o backfill.html
  dynaurora report --json | jq .report.totals

It needs cloudformation:DescribeStacks, and of the landing bucket s3:ListBucket and s3:GetObject of reports/.
infra/read-policy.json allows it.
"""


@click.command(epilog=EPILOG)
@click.argument("run", required=False)
@click.option("--mapping", metavar="MAPPING", help="Without RUN: the last one of this mapping.")
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the page to FILE, readable by its owner only; by default to MAPPING-RUN.html in this directory.",
)
@click.option("--open", "opening", is_flag=True, help="Open the page in a browser, too.")
@stack_option
@json_option
def report(
    run: str | None, mapping: str | None, path: Path | None, opening: bool, stack: str | None, as_json: bool
) -> None:
    """Fetch the report of RUN as a page, or of what ended last, and say where it is.

    Each backfill, reprocess, verification and repair leaves one when it ends: what it came to, what to do next, what
    became of each item, why some were refused, how long each phase took and what it cost. It is one file, which loads
    nothing. Where a release before this one has left no page, it is made of the report.

    With --json the result is one object, with the report itself. Exit status 0 whatever the report tells, 2 where there
    is none.
    """
    with explained_errors():
        deployments = choose_deployments(find_deployments(connect().cloudformation, stack), mapping)
        kept = find_report(connect_objects(), deployments, run)
    place = path or Path(f"{kept.deployment.mapping}-{kept.run}.html")
    write_page(place, kept.page or make_page_of(kept.document))
    verdict = judge_report(name_kind(kept.document), kept.document)
    if as_json:
        print_json(describe_kept(kept, place, verdict))
    else:
        print_pairs(
            (
                ("run", f"{kept.run} of {kept.deployment.mapping}"),
                ("verdict", verdict.word),
                ("", verdict.meaning),
                ("report", kept.page_uri or kept.uri),
                ("page", str(place)),
            )
        )
    if opening and not webbrowser.open(place.resolve().as_uri()):
        say(f"No browser could be opened here. Open the file yourself: {place.resolve()}")


def make_page_of(document: dict[str, Any]) -> str:
    """Return the page of a report that has none."""
    from dynaurora.runs.report_page import render_report  # which imports Jinja2, as no other command has to

    return render_report(document)


def write_page(place: Path, page: str) -> None:
    """Write a page, which has keys of items, for its owner only. Raises WrongUseError where that cannot be."""
    try:
        with open(place, "w", encoding="utf-8", opener=open_private) as file:
            file.write(page)
    except OSError as error:
        raise WrongUseError(f"The page cannot be written to {place}: {error.strerror}. Name a file with -o.") from error


def describe_kept(kept: KeptReport, place: Path, verdict: ReportVerdict) -> dict[str, Any]:
    """Return it for machines."""
    return {
        "run": kept.run,
        "mapping": kept.deployment.mapping,
        "stack": kept.deployment.stack,
        "kind": name_kind(kept.document).lower(),
        "verdict": verdict.word,
        "meaning": verdict.meaning,
        "next": [
            {"do": said, "command": f"dynaurora {command}" if command else None} for said, command in verdict.steps
        ],
        "uri": kept.uri,
        "page_uri": kept.page_uri,
        "page": str(place.resolve()),
        "report": kept.document,
    }
