"""What pages show: what is known, escaped, at once; and why something is not."""

import json
import re
from html import unescape
from urllib.parse import quote

import click
import pytest
from botocore.exceptions import ClientError, NoCredentialsError, UnauthorizedSSOTokenError

from backfill.kinds import BACKFILL
from backfill.ui import parts
from backfill.ui.documents import ABOUT, list_documents, read_document
from backfill.ui.parts import PAGES, Part
from tests.support.backfill_factories import RUN
from tests.support.looked_at import BIG, HOSTILE

MAPPING = "web_analytics"
OF = {"mapping": MAPPING, "kind": BACKFILL.name, "run": RUN}
TAG = re.compile(r"<[^>]*>")


def name_path(page, looks):
    path = page.path.format(**OF).lstrip("/")
    return f"{path}?id={looks.failures[0].id}" if "failure/" in path else path


def read_text(body):
    return " ".join(unescape(TAG.sub(" ", body)).split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.template)
def test_a_page_is_answered_at_once_and_its_parts_one_by_one(visitor, looks, page):
    path = name_path(page, looks)
    asked = visitor.ask(path)
    assert asked.status == 200
    links = [unescape(link) for link in re.findall(r'data-part="([^"]+)"', asked.body)]
    assert len(links) == len(page.parts)
    for link, part in zip(links, page.parts, strict=True):
        assert f"part={part.name}" in link
        body = visitor.see(link.removeprefix(f"{visitor.place}/"))
        assert "could not be read" not in body
        assert "as of" in body
        answer = visitor.send(link)
        assert float(answer.headers["dynaurora-again"]) >= 2
        assert "<html" not in answer.body


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.template)
def test_whatever_items_hold_is_text(visitor, looks, page):
    body = visitor.see(name_path(page, looks))
    assert "<script>document" not in body
    assert "onerror=alert" not in re.sub(r"&lt;img src=x onerror=alert\(1\)&gt;", "", body)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", body)
    assert BIG[:200] not in body
    assert len(re.findall(r"<script", body)) == body.count('<script src="') == 1
    assert not re.search(r"<[^>]*\s(on\w+|style)=", body)
    assert not re.search(r"(?:href|src)=\"(?!/|#|data:,)", body)


def test_a_hostile_key_is_read_as_it_is_written(visitor):
    told = read_text(visitor.see(f"failures/{MAPPING}"))
    assert HOSTILE[:24] in told


def test_what_a_record_holds_is_shown_on_request_alone(visitor, looks):
    hostile, big = looks.failures
    for failure, held in ((hostile, "secret"), (big, BIG)):
        path = f"failure/{MAPPING}?id={failure.id}"
        assert held not in visitor.see(path)
        assert held not in visitor.ask(f"failure/{MAPPING}/failure.json?id={failure.id}").body
        assert held in visitor.see(f"{path}&reveal=yes")
        revealed = json.loads(visitor.ask(f"failure/{MAPPING}/failure.json?id={failure.id}&reveal=yes").body)
        assert held in json.dumps(revealed["record"])


def test_failures_are_paged_through_and_told_as_they_are_shown(visitor, looks, monkeypatch):
    monkeypatch.setattr("backfill.ui.looks.FAILURES_LISTED", 1)
    first, second = (json.loads(visitor.ask(f"failures/{MAPPING}/failures.json?page={page}").body) for page in (1, 2))
    assert [(told["page"], told["pages"], len(told["entries"])) for told in (first, second)] == [(1, 2, 1), (2, 2, 1)]
    assert first["entries"] != second["entries"]
    assert looks.asked.count(f"read_failures {MAPPING}") == 1  # a page is of what was read, and nothing is read for it
    for told, other, link in ((first, second, "page=2"), (second, first, "page=1")):
        body = visitor.see(f"failures/{MAPPING}?page={told['page']}")
        assert f'href="{visitor.place}/failures/{MAPPING}?{link}"' in body
        assert f"page {told['page']} of 2" in read_text(body)
        assert told["entries"][0]["id"][:12] in body
        assert other["entries"][0]["id"][:12] not in body


@pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 40, "\u0663", "3"])
def test_a_page_that_is_not_there_shows_the_first_or_nothing(visitor, page):
    answer = visitor.ask(f"failures/{MAPPING}/failures.json?page={quote(page)}")
    told = json.loads(answer.body)
    assert (answer.status, len(told["entries"])) == (200, 0 if page == "3" else 2)


@pytest.mark.parametrize(
    "problem",
    [
        ClientError({"Error": {"Code": "ExpiredToken", "Message": "The token is expired."}}, "DescribeStacks"),
        UnauthorizedSSOTokenError(),
        NoCredentialsError(),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_where_a_sign_in_is_over_the_page_keeps_what_it_has_and_says_what_to_do(visitor, looks, monkeypatch, problem):
    path = f"failures/{MAPPING}"
    visitor.see(path)
    looks.problem = problem
    monkeypatch.setattr(Part, "find_wait", lambda *_: 0.0)
    body = visitor.see(path, lambda body: "could not be read" in body)
    assert "This could not be read again." in body
    assert "start `dynaurora ui` anew" in unescape(body)
    assert HOSTILE[:24] in read_text(body)
    answer = visitor.ask(f"{path}/failures.json")
    assert answer.status == 503
    assert re.search("credentials|sign-in", json.loads(answer.body)["error"])


def test_the_overview_leads_to_each_table_and_run(visitor):
    body = visitor.see("")
    assert f'href="{visitor.place}/tables/{MAPPING}"' in body
    assert f'href="{visitor.place}/runs/{MAPPING}/backfill/{RUN}"' in body
    told = read_text(body)
    assert "1 of 2 tables needs you" in told
    assert "1,234,567" in told
    assert f"dynaurora failures count {MAPPING}" in told
    assert f'href="{visitor.place}/docs/runbooks/failed-records.md"' in body


def test_what_is_told_as_json_is_what_is_shown(visitor, looks):
    view = json.loads(visitor.ask(f"runs/{MAPPING}/backfill/{RUN}/run.json").body)
    assert view == json.loads(json.dumps(looks.look_at_run(MAPPING, BACKFILL, RUN).as_dict()))
    told = read_text(visitor.see(f"runs/{MAPPING}/backfill/{RUN}"))
    for shown in ("29,990", "4 of 12 batches", "1,234 rows/s", "1 min 15 s", "exporting 1 min 0 s"):
        assert shown in told
    assert set(json.loads(visitor.ask("lags.json").body)) == {"orders", MAPPING}


def test_a_run_that_has_ended_is_asked_about_less_often(visitor, looks, monkeypatch):
    monkeypatch.setattr(parts, "LIVE_SECONDS", 0.2)
    path = f"runs/{MAPPING}/backfill/{RUN}?part=run"
    visitor.see(path)
    assert visitor.ask(path).headers["dynaurora-again"] == "0.2"
    looks.is_running = False
    body = visitor.see(path, lambda body: "SUCCEEDED" in body)
    assert "time left" not in body
    assert visitor.ask(path).headers["dynaurora-again"] == "60.0"


def test_why_a_part_could_not_be_read_stands_in_its_place(visitor, looks):
    looks.problem = click.ClickException("AWS refused <b>this</b>. Grant it.")
    body = visitor.see("tables/orders")
    assert body.count("This could not be read.") == 7
    assert "AWS refused &lt;b&gt;this&lt;/b&gt;. Grant it." in body
    answer = visitor.ask("tables/orders/status.json")
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "AWS refused <b>this</b>. Grant it.")


@pytest.mark.parametrize(
    "path",
    [
        *("nothing", "tables", "runs/a/b/c", "failure/a", "failure/a/failure.json", "?part=x", "docs/x.md", "docs/"),
        *(f"{folder}/{up}/guard.py" for folder in ("docs", "static") for up in ("..", "%2e%2e", "%2f..")),
    ],
)
def test_what_is_not_there_is_said_not_to_be(visitor, looks, path):
    answer = visitor.ask(path)
    assert answer.status == 404
    assert "There is no such page" in answer.body
    assert looks.asked == []


def test_a_page_loads_nothing_from_elsewhere(visitor):
    body = visitor.see("")
    loaded = re.findall(r"<(?:link|script|img)[^>]*(?:href|src)=\"([^\"]*)\"", body)
    assert loaded == ["data:,", f"{visitor.place}/static/ui.css", f"{visitor.place}/static/ui.js"]
    for path in loaded[1:]:
        answer = visitor.send(path)
        assert answer.status == 200
        assert not re.search(r"https?://|@import|url\(", answer.body)


def test_runbooks_are_read_beside_what_is_wrong(visitor):
    answer = visitor.ask("docs/runbooks/late-rows.md")
    assert answer.status == 200
    assert "<article" in answer.body


def test_there_is_a_runbook_for_each_part_of_a_standing():
    assert {path.removeprefix("docs/") for path in ABOUT.values()} <= list_documents()


@pytest.mark.parametrize("path", sorted(list_documents()))
def test_every_page_of_the_documentation_is_shown_with_its_headings(path):
    found = read_document(path)
    assert found.title
    assert re.search(r'<h1 id="[\w-]+">', found.html)
    assert "<img" not in found.html


def test_a_command_is_folded_between_its_words_alone(visitor, looks):
    page = visitor.see(f"failure/{MAPPING}?id={looks.failures[0].id}")
    words = f"dynaurora reprocess start {MAPPING} --watch".split()
    told = " ".join(f'<span class="word">{word}</span>' for word in words)
    assert f"<code>{told}</code>" in page
