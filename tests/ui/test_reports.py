"""Reports of every kind in a browser: each is for everybody, does nothing, and says what its JSON says."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from dynaurora.runs.report_page import make_page, render_report
from tests.e2e.conftest import DYNAURORA
from tests.integration.backfill.deployed import make_bad_item
from tests.support.run_reports import CASES, PACE, make_hostile
from tests.ui.conftest import MAPPING, PATIENCE_SECONDS, SCHEMES, WIDTHS, Console, Served, find_violations, take_picture

LINKS = "a[href], summary"
OF_MACHINE = ("https://us-east-1.console.aws.amazon.com/", "#", "data:")

pytestmark = pytest.mark.timeout(1800)


@contextmanager
def open_reports(browser: Any, width: int, scheme: str = "light") -> Iterator[Page]:
    """Yield a page to open files in; in the end none may have complained, or asked for anything but itself."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    console = Console(page)
    yield page
    context.close()
    assert console.said == []
    assert [url for url in console.asked if not url.startswith(("file:", "data:"))] == []


def draw_everything(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report that has a plot and causes, too, where one of its kind may."""
    causes = [{"error": "SlotsTakenError", "times": 3, "batches": 2}]
    pace = {**PACE, "rows": [*PACE["rows"], 12_345, 0]}
    totals = report.get("totals")
    of_run = {"totals": {**totals, "pace": pace, "retries": 4}} if totals and "exported" in totals else {}
    return {**report, "retry_causes": causes, **of_run}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_reports_of_every_kind_and_end_are_for_everybody(
    browser: Any, axe: str, tmp_path: Path, width: int, scheme: str
) -> None:
    reports = {name: draw_everything(report) for name, (report, *_) in CASES.items()}
    file = tmp_path / "report.html"
    with open_reports(browser, width, scheme) as page:
        for name, report in {**reports, "hostile": make_hostile()}.items():
            file.write_text(render_report(report), "utf-8")
            page.goto(file.as_uri())
            take_picture(page, f"kind-{name.replace(' ', '-')}-{scheme}-{width}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert find_violations(page, axe) == [], name
            assert page.locator("h1").count() == 1, name
            assert page.locator("script, main img, iframe, object, embed, form").count() == 0, name
            for landmark in ("banner", "main", "contentinfo"):
                assert page.get_by_role(landmark).count() == 1, (name, landmark)
            links = page.eval_on_selector_all("a", "all => all.map(one => one.getAttribute('href'))")
            assert all(link.startswith(OF_MACHINE) for link in links), name


def test_a_hostile_report_is_text_and_no_title_of_its_own(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(render_report(make_hostile()), "utf-8")
    with open_reports(browser, WIDTHS[1]) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        page.goto(file.as_uri())
        text = page.locator("body").inner_text()
        assert "<script>alert(1)</script>" in text
        assert not {"\u202e", "\x1b"} & {*text}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_is_read_by_the_keyboard_alone(browser: Any, tmp_path: Path, width: int) -> None:
    report, *_ = CASES["batches failed"]
    file = tmp_path / "report.html"
    file.write_text(render_report(report), "utf-8")
    with open_reports(browser, width) as page:
        page.goto(file.as_uri())
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        there, reached = page.locator(LINKS).count(), set[int]()
        for _ in range(there + 3):
            reached.add(page.evaluate(f"[...document.querySelectorAll('{LINKS}')].indexOf(document.activeElement)"))
            page.keyboard.press("Tab")
        assert len(reached - {-1}) == there
        page.locator("a[href='#runbook']").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")  # into the section that was gone to
        page.keyboard.press("Enter")
        assert page.locator("#runbook pre").is_visible()


@pytest.fixture(scope="module")
def fetched(served: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """What `dynaurora report --json` tells of a run of each kind, with its page."""
    served.aws.api.dynamodb.put_item(TableName=MAPPING, Item=make_bad_item("<script>document.title='owned'</script>"))
    commands = {
        "backfill": ("backfill", "start", MAPPING, "--watch"),
        "reprocess": ("reprocess", "start", MAPPING, "--watch"),
        "verification": ("verify", MAPPING),
        "repair": ("repair", MAPPING, "--yes"),
    }
    found = {}
    for kind, command in commands.items():
        if kind == "verification":
            served.aws.query("DELETE FROM Demo.WebAnalytics__replica LIMIT 2")
        subprocess.run(
            [DYNAURORA, *command], env=served.environment, capture_output=True, check=False, timeout=PATIENCE_SECONDS
        )
        file = tmp_path_factory.mktemp(kind) / "report.html"
        found[kind] = (file, served.ask("report", "--mapping", MAPPING, "-o", str(file)))
    return found


def test_pages_of_real_runs_say_what_is_told_as_json(
    fetched: dict[str, tuple[Path, dict[str, Any]]], browser: Any, axe: str
) -> None:
    for kind, (file, told) in fetched.items():
        report = told["report"]
        with open_reports(browser, WIDTHS[0]) as page:
            page.goto(file.as_uri())
            take_picture(page, f"real-{kind}")
            assert find_violations(page, axe) == [], kind
            text = page.locator("main").inner_text()
            assert (told["kind"], page.title().startswith(told["verdict"])) == (kind, True), json.dumps(told)
            assert told["meaning"] in text
            for figure, value in make_page(report).figures:
                assert page.locator("dl.figures div", has_text=figure).locator("dd").first.inner_text() == value
            for step in told["next"]:
                assert (step["command"] or step["do"]) in text
            for phase in report.get("phases") or ():
                assert phase["name"] in text
