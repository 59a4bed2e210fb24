"""`dynaurora report`: the page that is kept, or one that is made of the report."""

import json
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands import report as command
from dynaurora import keys
from dynaurora.runs.report_backfill import build_backfill_report
from dynaurora.runs.report_page import render_report
from tests.support.backfill_factories import DEPLOYMENT
from tests.support.fakes import WRITTEN_AT, InMemoryObjects
from tests.support.run_states import EXECUTION, MEMORY, RECONCILED, steps

DOCUMENT = build_backfill_report(RECONCILED, EXECUTION, steps("Open run", "Report run"), [], MEMORY)
OTHER = replace(DEPLOYMENT, mapping="orders", stack="dynaurora-orders")


@pytest.fixture
def store():
    return InMemoryObjects()


@pytest.fixture
def run(store, monkeypatch, tmp_path):
    """Run the command in a directory of its own, where two replications are deployed."""
    monkeypatch.setattr(command, "connect", lambda: SimpleNamespace(cloudformation=None))
    monkeypatch.setattr(command, "connect_objects", lambda: store)
    monkeypatch.setattr(
        command, "find_deployments", lambda _, stack: [one for one in (DEPLOYMENT, OTHER) if stack in {None, one.stack}]
    )
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, ["report", *words])


def keep(store, run, age=0, page="<p>kept</p>", page_age=None, deployment=DEPLOYMENT):
    """Keep a report and its page, written so many hours ago."""
    for key, body, hours in (
        (keys.report(deployment.mapping, run), json.dumps(DOCUMENT | {"run": run}), age),
        (keys.report_page(deployment.mapping, run), page, age if page_age is None else page_age),
    ):
        if body is not None:
            store.write(deployment.bucket, key, body.encode())
            store.times[deployment.bucket, key] = WRITTEN_AT - timedelta(hours=hours)


def test_the_page_of_a_run_is_fetched_and_it_says_where_it_is(store, run, tmp_path):
    keep(store, "r1")
    keep(store, "r2")
    done = run("r1")
    assert done.exit_code == 0, done.output
    written = tmp_path / f"{DEPLOYMENT.mapping}-r1.html"
    assert written.read_text() == "<p>kept</p>"
    assert written.stat().st_mode & 0o077 == 0
    assert f"s3://{DEPLOYMENT.bucket}/reports/run={DEPLOYMENT.mapping}-r1/report.html" in done.output
    assert written.name in done.output
    assert "Succeeded" in done.output


def test_without_a_run_it_is_what_was_written_last_of_any_mapping_or_of_one(store, run):
    keep(store, "older", 2)
    keep(store, "newest", 0, deployment=OTHER)
    keep(store, "newer", 1)
    store.write(DEPLOYMENT.bucket, f"{keys.reports_prefix(DEPLOYMENT.mapping)}older/map/uuid/report.json", b"{}")
    assert json.loads(run("--json").stdout)["run"] == "newest"
    assert json.loads(run("--json", "--mapping", DEPLOYMENT.mapping).stdout)["run"] == "newer"
    assert json.loads(run("--json", "--stack", OTHER.stack).stdout)["mapping"] == "orders"


def test_for_machines_it_is_one_object_with_the_report(store, run, tmp_path):
    keep(store, "r1")
    told = json.loads(run("r1", "--json", "-o", "page.html").stdout)
    assert told["report"] == DOCUMENT
    assert told["page"] == str(tmp_path / "page.html")
    assert (told["kind"], told["verdict"], told["stack"]) == ("backfill", "Succeeded", DEPLOYMENT.stack)
    assert told["next"][0]["command"] == "dynaurora verify web_analytics"


@pytest.mark.parametrize("kept", [{"page": None}, {"page_age": 1}])
def test_a_page_that_is_not_there_or_of_an_earlier_execution_is_made_of_the_report(store, run, tmp_path, kept):
    keep(store, "r1", **kept)
    assert json.loads(run("r1", "--json", "-o", "page.html").stdout)["page_uri"] is None
    assert (tmp_path / "page.html").read_text() == render_report(DOCUMENT)


@pytest.mark.parametrize("name", ["r9", "../r1", "<b>\u202e", "a" * 400])
def test_a_run_without_a_report_is_named(store, run, name):
    keep(store, "r1")
    done = run(name)
    assert done.exit_code == 2
    assert "There is no report of" in done.output
    assert "\u202e" not in done.output


def test_where_nothing_has_ended_it_says_how_to_begin(run):
    done = run()
    assert done.exit_code == 2
    assert "backfill start" in done.output


def test_two_stacks_with_a_run_of_this_name_are_told_apart_by_the_stack(store, run):
    keep(store, "r1")
    keep(store, "r1", deployment=OTHER)
    assert "Name one with --stack" in run("r1").output
    assert run("r1", "--stack", OTHER.stack).exit_code == 0


def test_a_file_that_cannot_be_written_is_named(store, run):
    keep(store, "r1")
    done = run("r1", "-o", "nowhere/page.html")
    assert done.exit_code == 2
    assert "nowhere/page.html: No such file" in done.output


@pytest.mark.parametrize("is_opened", [True, False])
def test_it_is_opened_in_a_browser_or_says_that_there_is_none(store, run, monkeypatch, tmp_path, is_opened):
    opened = []
    monkeypatch.setattr(command.webbrowser, "open", lambda address: opened.append(address) or is_opened)
    keep(store, "r1")
    done = run("r1", "--open", "-o", "page.html")
    assert (opened, done.exit_code) == ([(tmp_path / "page.html").as_uri()], 0)
    assert ("No browser could be opened" in done.output) is not is_opened
