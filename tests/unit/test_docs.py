"""The commands in docs/ exist as they are written there and are run by a test, and the links lead somewhere."""

import re
import shlex

import click
import pytest

from backfill.cli import main
from tests.reader import PROJECT, list_pages, read_blocks, read_headings

COMMAND = re.compile(r"(?<![\w=/])dynaurora (?P<words>[^)|\n]+)")
"""One of ours, also where it is in `$(…)` or before a pipe."""
FOLLOWED = re.compile(r"\.follow\(\s*\"(?P<page>docs/[^\"]+)\"")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
INDEX = "docs/runbooks/README.md"
RUNBOOKS = [page for page in list_pages() if page.startswith("docs/runbooks/") and page != INDEX]
SECTIONS = ["Symptom", "What it means", "Diagnose", "Act", "Verify", "Prevent"]
LINKING = ["README.md", "CHANGELOG.md", "statemachines/README.md", *list_pages()]


def list_documented():
    for page in list_pages():
        for block in read_blocks(page):
            yield from ((page, command["words"].strip()) for command in COMMAND.finditer(block.commands))


@pytest.mark.parametrize(("_page", "words"), [*list_documented()])
def test_a_documented_command_is_understood(_page, words):
    words = shlex.split(words, comments=True)
    context = click.Context(main)
    command: click.Command = main
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        assert command, name
    command.make_context(name, words)


def test_there_are_commands_in_the_docs():
    assert len(list(list_documented())) > 10


def test_every_page_with_commands_is_followed_by_a_test():
    """A test that follows a page fails unless it runs all of its commands."""
    tests = [path.read_text("utf-8") for path in (PROJECT / "tests").rglob("test_*.py")]
    tests += [path.read_text("utf-8") for path in (PROJECT / "tests").rglob("conftest.py")]
    followed = {match["page"] for text in tests for match in FOLLOWED.finditer(text)}
    assert followed == {page for page in list_pages() if read_blocks(page)}


@pytest.mark.parametrize("page", RUNBOOKS)
def test_a_runbook_has_its_sections_in_order(page):
    assert read_headings(page) == SECTIONS


@pytest.mark.parametrize("page", RUNBOOKS)
def test_a_runbook_is_in_the_index_and_has_commands(page):
    assert f"]({page.rpartition('/')[2]})" in (PROJECT / INDEX).read_text("utf-8")
    sections = [block.headings[0] for block in read_blocks(page)]
    assert {"Diagnose", "Act", "Verify"} <= set(sections)


def list_anchors(path):
    """The anchors of a page, as GitHub makes them of its headings."""
    for heading in HEADING.finditer(path.read_text("utf-8")):
        yield re.sub(r"[^\w\- ]", "", heading["text"].lower()).replace(" ", "-")


@pytest.mark.parametrize("page", LINKING)
def test_a_link_leads_to_something_that_is_there(page):
    here = PROJECT / page
    for link in LINK.finditer(here.read_text("utf-8")):
        name, _, anchor = link["target"].partition("#")
        if not name.startswith(("https://", "http://")):
            target = (here.parent / name).resolve() if name else here
            assert target.exists(), link["target"]
            assert not anchor or anchor in list_anchors(target), link["target"]
