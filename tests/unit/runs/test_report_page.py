"""The page of a report: what it shows is the report, and nothing of it does anything."""

import json
import shlex
from dataclasses import asdict
from html.parser import HTMLParser

import click
import pytest

from backfill.cli import main
from dynaurora import keys
from dynaurora.failures import runbooks
from dynaurora.mappings.reasons import MAX_COUNTED_REASONS
from dynaurora.pages.formatting import format_quantity
from dynaurora.runs import report_page, report_verdicts
from dynaurora.runs.report_backfill import MAX_FAILURES
from dynaurora.runs.report_page import TOLD_VERDICTS, find_console, make_page, render_report, write_report
from dynaurora.verification.verdicts import UNEXPLAINED, RowVerdict
from tests.support.factories import make_plan, make_totals
from tests.support.fakes import InMemoryObjects
from tests.support.run_reports import (
    CASES,
    FAILED,
    HOSTILE,
    KEPT,
    NONE_SETTLED,
    PACE,
    backfill,
    make_hostile,
    reprocess,
    totals_of,
)
from tests.support.run_states import BUCKET, EXECUTION, PACKAGE, PLANNED

VOID = {"meta", "link", "br", "rect", "path"}
CONSOLE = "https://us-east-1.console.aws.amazon.com"
MOST_BYTES = 300_000


class Read(HTMLParser):
    """A page as a browser takes it: its elements, what they refer to, its text; each element has its end."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text, self.rows = [], [], "", []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
        if {"td", "th"} & {*self.open}:
            self.rows[-1][-1] += " ".join(data.split())

    @property
    def tags(self):
        return {tag for tag, _ in self.elements}

    @property
    def counts(self):
        """The rows of tables with a number beside their name."""
        return {row[0]: row[1] for row in self.rows if len(row) > 1}


def read(report):
    """Read the page of a report, which loads nothing and runs nothing, whatever it is of."""
    page = render_report(report)
    page.encode()
    found = Read(page)
    assert not {"script", "img", "iframe", "object", "embed", "form", "input"} & found.tags
    assert [tag for tag, attributes in found.elements if attributes.get("id") == "runbook"] in ([], ["section"])
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "style", "srcset"}], tag
        refers = attributes.get("href", "#")
        assert refers in {"#main", "#runbook", "#", "data:,"} or refers.startswith(f"{CONSOLE}/")
    assert not {"\u202e", "\x1b", "\x07", "\x00"} & {*page}
    return found


@pytest.mark.parametrize(("report", "tone", "word"), CASES.values(), ids=CASES)
def test_the_verdict_comes_first_and_names_what_to_do(report, tone, word):
    found = read(report)
    verdict = make_page(report).verdict
    assert (verdict.tone, verdict.word[: len(word)]) == (tone, word)
    assert verdict.word in found.text
    assert verdict.tone == "good" or (verdict.steps and verdict.runbook)
    assert ("section", {"class": f"verdict verdict-{tone}", "aria-label": "Verdict"}) in found.elements
    assert found.text.index(verdict.meaning) < found.text.index("To look it up")


def test_what_was_refused_is_told_beside_what_was_parked():
    verdict = make_page(CASES["reprocess parked and refused"][0]).verdict
    assert "The mapping refuses 500 records" in verdict.meaning
    assert [command for _, command in verdict.steps] == [
        "failures list web_analytics --parked",
        "reprocess start web_analytics --include-parked",
        "failures list web_analytics",
    ]
    one = NONE_SETTLED | {"entries": 1, "rejected": 1, "rejected_reasons": {"a (type)": 1}, "records_parked": 1}
    assert make_page(reprocess(one)).verdict.word == "Done, and 1 record parked"


@pytest.mark.parametrize(("report", "tone", "word"), CASES.values(), ids=CASES)
def test_the_commands_of_a_page_are_understood_and_its_runbook_is_there(report, tone, word):
    verdict = make_page(report).verdict
    for words in [command for _, command in verdict.steps if command]:
        command, rest = main, shlex.split(words)
        context = click.Context(main, **main.context_settings)
        while isinstance(command, click.Group):
            name, command, rest = command.resolve_command(context, rest)
        command.make_context(name, rest, parent=context)
    assert verdict.runbook is None or (PACKAGE.parent / verdict.runbook).is_file()
    assert verdict.runbook in {None, *(value for name, value in vars(runbooks).items() if name.endswith("_RUNBOOK"))}


@pytest.mark.parametrize(("report", "tone", "word"), CASES.values(), ids=CASES)
def test_the_pictures_add_up(report, tone, word):
    for account in make_page(report).accounts:
        assert account.sum == account.whole, account
        assert [part.start for part in account.parts] == [
            sum(part.count for part in account.parts[:number]) for number in range(len(account.parts))
        ]


def test_the_numbers_are_those_of_the_report():
    totals = {"imported": 4, "already_newer": 3, "rejected": 2, "rejected_reasons": {"a (type)": 2}, "skipped": 1}
    report = backfill(totals_of(exported=10, retries=1234, **totals))
    found = read(report)
    assert found.counts["exported"] == "10"
    assert found.counts["imported"] == "4"
    assert found.counts["already newer in Aurora"] == "3"
    assert found.counts["refused by the mapping"] == found.counts["a (type)"] == "2"
    assert found.counts["skipped, which this target does not take"] == "1"
    assert ["together", "10", "", "adds up"] in found.rows
    assert "tried again 1,234 times" in found.text
    for phase in report["phases"]:
        assert found.counts[phase["name"]] == f"{phase['seconds']:.0f} s" or phase["seconds"] > 60
    for line in report["cost"]["lines"]:
        assert found.counts[line["what"]] == format_quantity(line["quantity"])
    assert dict(make_page(report).figures)["rows per second"] == "0.7"


def test_what_imports_were_tried_again_for_adds_up_to_how_often():
    causes = [{"error": "SlotsTakenError", "times": 6, "batches": 2}, {"error": HOSTILE, "times": 1, "batches": 1}]
    found = read(backfill(totals_of(retries=1_009), causes=causes))
    assert ["SlotsTakenError", "6", "2"] in found.rows
    assert found.counts["nothing that was noted: the function did not answer"] == "1,002"
    assert "tried again 1,009 times" in found.text


def test_a_reprocess_tells_what_its_imports_were_tried_again_for():
    causes = {"retry_causes": [{"error": "DeadlockError", "times": 2, "batches": 1}]}
    found = read(reprocess(NONE_SETTLED) | causes)
    assert "Imports failed 2 times, and were tried again." in found.text
    assert ["DeadlockError", "2", "1"] in found.rows
    assert "tried again" not in read(reprocess(NONE_SETTLED)).text


@pytest.mark.parametrize(
    "report", [backfill(totals_of(pace=PACE)), reprocess(NONE_SETTLED) | {"pace": PACE}], ids=["backfill", "reprocess"]
)
def test_rows_a_second_are_a_line_over_the_time_of_the_run(report):
    text = read(report).text
    assert "rows: from 1,000 to 3,000, between 0 and 3,000." in text
    assert "08:15:00" in text
    assert "08:16:00" in text


@pytest.mark.parametrize("pace", [None, PACE | {"rows": [1, 2]}])
def test_a_run_that_is_too_short_for_a_line_has_none(pace):
    assert "How fast it was" not in read(backfill(totals_of(pace=pace))).text


@pytest.mark.parametrize(("report", "tone", "word"), CASES.values(), ids=CASES)
def test_the_runbook_that_is_linked_to_is_in_the_page(report, tone, word):
    found, runbook = read(report), make_page(report).verdict.runbook
    links = [attributes["href"] for tag, attributes in found.elements if tag == "a"]
    assert ("#runbook" in links) == (runbook is not None)
    if runbook:
        text = " ".join((PACKAGE.parent / runbook).read_text("utf-8").split())
        assert text in " ".join(found.text.split())


def test_a_runbook_that_is_not_beside_the_packages_is_named_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(runbooks, "BESIDE", tmp_path)
    found = read(reprocess(None, FAILED))
    assert "docs/runbooks/failed-records.md" in found.text
    assert ("a", {"href": "#runbook"}) not in found.elements


def test_items_without_an_account_are_told():
    found = read(backfill(totals_of(exported=10, imported=4)))
    assert "6 without an account" in found.text
    assert "adds up" not in found.text


def test_each_of_several_targets_has_its_account():
    each = {"imported": 9, "already_newer": 0, "rejected": 0, "rejected_reasons": {}, "skipped": 1, "unaccounted": 0}
    report = backfill(totals_of(exported=10, imported=18, targets={"Orders": each, "Lines": each}))
    assert [account.title for account in make_page(report).accounts] == [
        "What became of the items, in Orders",
        "What became of the items, in Lines",
    ]


def test_examples_of_keys_stand_by_their_reason():
    examples = [{"reason": "a (type)", "keys": [{"page_id": {"S": 'say "x"'}, "n": {"N": "5"}}]}]
    report = backfill(totals_of(rejected=2, rejected_reasons={"a (type)": 2, "b (json)": 0}), examples=examples)
    assert 'page_id = "say \\"x\\"", n = 5' in read(report).text
    assert "dynaurora failures list web_analytics" in read(report).text


def test_what_is_hostile_is_shown_as_a_terminal_shows_it_and_changes_nothing():
    report = make_hostile()
    harmless = read(backfill(totals_of(rejected=1, rejected_reasons={"a": 1})))
    found = read(report)
    assert found.tags <= harmless.tags | {"h3", "ul", "li"}
    assert "<script>alert(1)</script>" in found.text
    assert r"\u202e\x1b]0;x\x07\x00\ud800" in found.text
    assert "(400," in found.text
    assert len(render_report(report)) < MOST_BYTES


def test_the_page_of_a_large_run_is_small():
    reasons = {f"payload.a_path_that_is_long[{number}] (maxLength)": 9_999 for number in range(MAX_COUNTED_REASONS)}
    examples = [
        {"reason": reason, "keys": [{"page_id": {"S": f"{'k' * 2048}{number}"}} for number in range(3)]}
        for reason in reasons
    ]
    attributes = [
        {"name": "n" * 200, "items": 1, "type": "VARCHAR(255)", "values_seen": 1, "keys": [{"id": {"S": "x"}}] * 3}
    ] * 100
    report = backfill(
        PLANNED
        | {"plan": asdict(make_plan(items=1_000_000)), "error": {"Error": "States.Timeout"}}
        | {
            "totals": asdict(
                make_totals(exported=1_000_000, imported=500_050, rejected=499_950, rejected_reasons=reasons)
            )
        },
        [
            KEPT | {"reason": "r" * 5_000, "remedy": "m" * 5_000, "batch": f"r1-{number}"}
            for number in range(MAX_FAILURES)
        ],
        {"attributes": attributes, "others": 5, "exact": True},
        examples,
    )
    page = render_report(report)
    assert len(page.encode()) < MOST_BYTES
    assert "500,050" in page
    assert "40 of them are shown" in page


@pytest.mark.parametrize("left_out", ["cost", "warnings", "failures", "sweep", "ignored", "refused_examples", "phases"])
def test_a_report_of_before_may_lack_something(left_out):
    report = backfill()
    del report[left_out]
    read(report)


def test_the_names_of_verdicts_are_those_of_a_verification():
    assert {*TOLD_VERDICTS} == {verdict.value for verdict in RowVerdict}
    told_as_bad = {verdict for verdict, (_, tone) in TOLD_VERDICTS.items() if tone == report_verdicts.BAD}
    assert told_as_bad == {verdict.value for verdict in UNEXPLAINED}


@pytest.mark.parametrize(
    ("arn", "address"),
    [
        (
            EXECUTION,
            f"https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/{EXECUTION}",
        ),
        (EXECUTION.replace("123456789012", "000000000000"), None),
        (EXECUTION.replace("arn:aws:", "arn:aws-iso:"), None),
        ("javascript:alert(1)", None),
        (f'{EXECUTION}"><script>', None),
        ("", None),
    ],
)
def test_an_execution_is_linked_where_it_has_a_console(arn, address):
    assert find_console(arn) == address
    if address:
        assert "console.amazonaws.cn/" in find_console(arn.replace("arn:aws:", "arn:aws-cn:"))


def test_a_report_and_its_page_are_written():
    store, report = InMemoryObjects(), backfill()
    assert write_report(store, BUCKET, "web_analytics", "r1", report) is None
    assert json.loads(store.read(BUCKET, keys.report("web_analytics", "r1"))) == report
    assert store.read(BUCKET, keys.report_page("web_analytics", "r1")).decode() == render_report(report)


def test_a_page_that_cannot_be_made_takes_no_report_with_it(monkeypatch):
    monkeypatch.setattr(report_page, "judge_report", {}.__getitem__)
    store, report = InMemoryObjects(), backfill()
    assert "TypeError" in write_report(store, BUCKET, "web_analytics", "r1", report)
    assert [key for _, key in store.objects] == [keys.report("web_analytics", "r1")]
