"""What a browser shows of a deployment while a backfill goes on: it equals what the commands tell with --json.

Each page is looked at wide and narrow, light and dark: nothing is loaded from elsewhere, nothing is complained of on
the console, nothing is wider than the screen, axe-core finds nothing, and every link and button is reached by the
keyboard. Among the items are such that would do harm if they were anything but text.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from backfill.terminal.formatting import format_count, format_rate
from backfill.ui.serving import OPENER
from dynaurora import keys
from tests.e2e.conftest import DYNAURORA
from tests.integration.backfill.deployed import make_bad_item, make_items
from tests.ui.conftest import (
    MAPPING,
    PATIENCE_MS,
    PATIENCE_SECONDS,
    SCHEMES,
    WIDTHS,
    Console,
    Served,
    find_violations,
    take_picture,
)

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\u202egnp.exe\x1b[31m"
BIG_BYTES = 380_000
ITEMS = 4_000
FOCUSABLE = "a[href], button, summary, [tabindex='0']"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def items(served: Served) -> None:
    """Items of every kind, which the stream brings; a backfill then finds most of them there."""
    big = make_bad_item("big")
    big["payload"]["S"] = json.dumps({"Hits": "x" * BIG_BYTES})
    dynamodb = served.aws.api.dynamodb
    some = [*make_items(ITEMS), make_bad_item(HOSTILE), big]
    for start in range(0, len(some), 25):
        requests = [{"PutRequest": {"Item": item}} for item in some[start : start + 25]]
        dynamodb.batch_write_item(RequestItems={MAPPING: requests})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := served.ask("status")) and (found["rows"], found["failed"]) != (ITEMS, 2):
        assert time.monotonic() < deadline, found
        time.sleep(1)


@pytest.fixture(scope="module")
def run(served: Served, items: None) -> str:
    """A backfill that is under way until its export is let go."""
    served.hold_exports(held=True)
    started = served.ask("backfill", "start", MAPPING, "--max-concurrency", "1")
    return str(started["run"])


@pytest.fixture(scope="module")
def ended_run(served: Served, run: str) -> str:
    """The same once it has ended."""
    served.hold_exports(held=False)
    command = [DYNAURORA, "backfill", "watch", run]
    subprocess.run(command, env=served.environment, capture_output=True, check=False, timeout=PATIENCE_SECONDS)
    return run


@contextmanager
def open_page(
    browser: Any,
    served: Served,
    path: str,
    width: int = 1280,
    scheme: str = "light",
    *,
    is_locked_out: bool = False,
) -> Iterator[Page]:
    """Yield a page of the status page that shows all its parts; in the end nothing may have gone wrong in it."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    console = Console(page)
    page.goto(served.url)
    page.goto(served.place + path)
    expect(page.locator(".loading")).to_have_count(0)
    expect(page.locator(".problem")).to_have_count(0)
    yield page
    context.close()
    assert [line for line in console.said if "403 (Forbidden)" not in line or not is_locked_out] == []
    assert [url for url in console.asked if not url.startswith((served.origin, "data:"))] == []


def read_fields(page: Page) -> dict[str, str]:
    """Return what the fields of a page say, by their names; of several of one name the first."""
    found: dict[str, str] = {}
    for name, text in page.eval_on_selector_all(
        "[data-field]", "all => all.map(one => [one.dataset.field, one.innerText])"
    ):
        found.setdefault(name, text.strip())
    return found


def ask(page: Page, served: Served, path: str) -> Any:
    """Return what the page tells as JSON."""
    answer = page.request.get(served.place + path, timeout=PATIENCE_MS)
    assert answer.ok, answer.text()
    return answer.json()


def wait_until(page: Page, check: Callable[[], Any]) -> Any:
    """Return what is found, once it is found."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := check()):
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    return found


def show_run(view: dict[str, Any]) -> dict[str, str]:
    """Return what a page has to say of a run that is told so, as far as it is told."""
    shown = {"speed": format_rate(view["rows_per_second"])}
    if view["rows"]:
        rows = view["rows"]
        shown |= {"imported": f"{rows['imported']:,}", "newer": f"{rows['already_newer']:,}"}
        shown |= {"rejected": f"{rows['rejected']:,}", "retries": f"{view['retries']:,}"}
    if view["batches"]:
        batches = view["batches"]
        done = batches["imported"] + batches["failed"]
        shown |= {"ended": f"{done:,} of {format_count(batches['planned'], 'batch', 'batches')}"}
    return shown


def test_a_run_is_shown_as_it_is_told_while_it_goes_on(served: Served, browser: Any, run: str) -> None:
    path = f"runs/{MAPPING}/backfill/{run}"
    phases = set[str]()
    with open_page(browser, served, path) as page:

        def is_equal() -> dict[str, Any] | None:
            told = ask(page, served, f"{path}/run.json")
            fields = read_fields(page)
            is_same = {name: fields.get(name) for name in show_run(told)} == show_run(told)
            if is_same and fields["state"].startswith(told["phase"] if not told["final"] else told["state"]):
                phases.add(told["phase"])
                return dict(told)
            return None

        first = wait_until(page, is_equal)
        assert not first["final"]
        served.hold_exports(held=False)
        last = wait_until(page, lambda: (told := is_equal()) and told["final"] and told)
    assert last["state"] == "SUCCEEDED"
    assert len(phases) > 1
    told = served.ask("backfill", "status", run)
    assert {**last, "seen_at": None} == {**told, "seen_at": None}
    assert told["rows"]["imported"] + told["rows"]["already_newer"] == ITEMS


def test_the_overview_shows_what_status_tells(served: Served, browser: Any, ended_run: str) -> None:
    with open_page(browser, served, "") as page:
        told = served.ask("status")
        ended = told["backfill"]["state"].lower()

        def is_told() -> bool:  # each part is asked for in its own time
            fields = read_fields(page)
            counts = {"failed": f"{told['failed']:,}", "parked": f"{told['parked']:,}", "rows": f"{told['rows']:,}"}
            return (
                {name: fields[name].split()[0] for name in counts} == counts
                and fields["backfill"].startswith(ended)
                and fields["reader"].startswith(told["reader"])
                and fields["verified"] == "never"
            )

        wait_until(page, is_told)
        for todo in told["todo"]:
            expect(page.get_by_text(todo["problem"])).to_have_count(1)
        page.get_by_role("link", name=MAPPING).first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(MAPPING)


def test_a_table_shows_what_the_commands_tell(served: Served, browser: Any, ended_run: str) -> None:
    with open_page(browser, served, f"tables/{MAPPING}") as page:
        runs, counts = served.ask("backfill", "list"), served.ask("failures", "count", "--include-parked")
        rows = page.locator("#backfill tbody")
        assert len(runs) == 1
        expect(rows).to_have_count(1)
        expect(rows).to_have_attribute("data-row", ended_run)
        expect(rows).to_contain_text(f"{runs[0]['rows']:,}")
        lines = page.locator("#failures .narrow tbody tr")
        expect(lines).to_have_count(len(counts["counts"]))
        for line, one in zip(lines.all(), counts["counts"], strict=True):
            expect(line.locator("[data-field=reason]")).to_have_text(one["reason"])
            expect(line.locator("[data-field=count]")).to_have_text(f"{one['count']:,}")
        columns = page.locator("#mapping tbody th code").all_inner_texts()
        assert columns == [
            column["name"] for column in ask(page, served, f"tables/{MAPPING}/mapping.json")["targets"][0]["columns"]
        ]


def test_what_an_item_holds_is_text_wherever_it_is_shown(served: Served, browser: Any, ended_run: str) -> None:
    with open_page(browser, served, f"failures/{MAPPING}", width=390) as page:
        ids = page.locator("tbody th a").all_inner_texts()
        assert len(ids) == 2
        assert "<script>document.title='owned'</script>" in page.locator("main").inner_text()
    for width in WIDTHS:
        for failure in ids:
            with open_page(browser, served, f"failure/{MAPPING}?id={failure}", width) as page:
                assert "xxxxxxxxxx" not in page.content()
                page.get_by_role("link", name="Show what it holds").click()
                record = page.locator("pre.record")
                record.wait_for()
                text = page.locator("body").inner_text()
                assert page.title().startswith("Failure ")
                assert page.locator("main script, main img, main style").count() == 0
                assert not {"\u202e", "\x1b"} & {*text}
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                expect(page.get_by_role("link", name="Hide it again")).to_be_visible()


def list_paths(served: Served, run: str) -> list[str]:
    failure = served.ask("failures", "show", MAPPING)["id"]
    return [
        "",
        f"tables/{MAPPING}",
        f"runs/{MAPPING}/backfill/{run}",
        f"failures/{MAPPING}",
        f"failure/{MAPPING}?id={failure}",
        "docs/runbooks/late-rows.md",
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_are_for_everybody(
    served: Served, browser: Any, axe: str, ended_run: str, width: int, scheme: str
) -> None:
    for number, path in enumerate(list_paths(served, ended_run)):
        with open_page(browser, served, path, width, scheme) as page:
            take_picture(page, f"{number}-{scheme}-{width}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert find_violations(page, axe) == [], path
            assert page.locator("h1").count() == 1, path
            for landmark in ("banner", "main", "contentinfo", "navigation"):
                assert page.get_by_role(landmark).count() == 1, (path, landmark)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_link_and_button_is_reached_by_the_keyboard(
    served: Served, browser: Any, ended_run: str, width: int
) -> None:
    with open_page(browser, served, f"tables/{MAPPING}", width) as page:
        page.get_by_role("button", name="Pause updates").click()
        expect(page.get_by_role("button", name="Go on with updates")).to_be_visible()
        page.goto(page.url)
        expect(page.locator(".loading")).to_have_count(0)
        page.evaluate("Object.defineProperty(document, 'hidden', {value: true})")  # as nobody looks, nothing changes
        page.wait_for_load_state("networkidle")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        there = page.eval_on_selector_all(FOCUSABLE, "all => all.filter(one => one.checkVisibility()).length")
        reached = set[str]()
        for _ in range(there + 5):
            reached.add(page.evaluate(f"[...document.querySelectorAll(`{FOCUSABLE}`)].indexOf(document.activeElement)"))
            page.keyboard.press("Tab")
        assert len(reached - {-1}) == there


def test_a_page_says_that_it_is_not_answered_any_more(served: Served, browser: Any, ended_run: str) -> None:
    with open_page(browser, served, "", is_locked_out=True) as page:
        page.context.clear_cookies()
        expect(page.locator("#liveness")).to_contain_text("open the one that dynaurora ui printed")
        page.evaluate("location.reload()")
        expect(page.locator("body")).to_contain_text("Open that one, token and all")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_of_a_run_is_for_everybody(
    served: Served, browser: Any, axe: str, ended_run: str, tmp_path: Path, width: int, scheme: str
) -> None:
    key = keys.report_page(MAPPING, ended_run)
    body = served.aws.api.s3.get_object(Bucket=served.aws.deployment.bucket, Key=key)["Body"].read()
    file = tmp_path / "report.html"
    file.write_bytes(body)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    console = Console(page)
    page.goto(file.as_uri())
    take_picture(page, f"report-{scheme}-{width}")
    assert f"{ITEMS:,}" in page.locator("main").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert find_violations(page, axe) == []
    assert page.locator("script, main img").count() == 0
    assert console.said == []
    assert {url for url in console.asked if not url.startswith("data:")} == {file.as_uri()}
    context.close()


def test_the_file_that_is_opened_leads_to_the_page(served: Served, browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "open.html"
    file.write_text(OPENER.format(escape(served.url)), "utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("All tables")
