"""The commands in docs/ exist as they are written there and are run by a test, and the links lead somewhere.

What the pages say of the packages is as the packages are.
"""

import datetime as dt
import re
import shlex
from contextlib import suppress

import click
import pytest

from backfill.cli import main
from tests.infrastructure.test_modules import LAYERS
from tests.reader import PROJECT, list_pages, read_blocks, read_headings

COMMAND = re.compile(r"(?<![\w=/])dynaurora (?P<words>[^)|\n]+)")
"""One of ours, also where it is in `$(…)` or before a pipe."""
FOLLOWED = re.compile(r"\.follow\(\s*\"(?P<page>docs/[^\"]+)\"")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
INDEX = "docs/runbooks/README.md"
RUNBOOKS = [page for page in list_pages() if page.startswith("docs/runbooks/") and page != INDEX]
SECTIONS = ["Symptom", "What it means", "Diagnose", "Act", "Verify", "Prevent"]
PAPERS = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
"""Pages beside docs/, whose commands set up and test the project, and are not followed."""
LINKING = [*PAPERS, "CHANGELOG.md", "statemachines/README.md", *list_pages()]
README_BYTES = 10_000
"""As much as one reads before trying it."""
LAYER = re.compile(
    r"^\| (?P<layer>\d+) \| \[`(?P<name>\w+)`\]\(\.\./(?P<path>[\w./]+)\) \| (?P<owns>[^|]+\.) \|$", re.MULTILINE
)
PACKAGE = re.compile(r"^\| \[`(?P<name>\w+)`\]\((?P<path>dynaurora/\w+)\) \| [^|]+ \|$", re.MULTILINE)
FUNCTION = re.compile(r"\[`(?P<name>\w+)`\]\(\.\./lambdas/\w+\.py\) \| \[`(?P<core>[\w/]+\.py)`\]\(\.\./dynaurora/")
DECISION = re.compile(r"^\| (?P<date>\d{4}-\d{2}-\d{2}) \| (?P<decision>[^|]+) \| (?P<why>[^|]+) \|$", re.MULTILINE)


def read(page):
    return (PROJECT / page).read_text("utf-8")


def list_documented():
    for page in [*PAPERS, *list_pages()]:
        for block in read_blocks(page):
            commands = block.commands.replace("\\\n", " ")  # a command that goes on in the next line is one
            yield from ((page, command["words"].strip()) for command in COMMAND.finditer(commands))


@pytest.mark.parametrize(("_page", "words"), [*list_documented()])
def test_a_documented_command_is_understood(_page, words):
    words = shlex.split(words, comments=True)
    context = click.Context(main, **main.context_settings)  # click keeps the help option that it makes first
    command: click.Command = main
    with suppress(click.exceptions.Exit):  # of --version, behind which nothing is left to understand
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(context, words)
            assert command, name
        command.make_context(name, words, parent=context)


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


# What a newcomer reads


def test_the_readme_is_short():
    assert len((PROJECT / "README.md").read_bytes()) <= README_BYTES, "what is for one task only belongs into docs/"


def test_the_index_has_every_page():
    linked = {link["target"].partition("#")[0] for link in LINK.finditer(read("docs/README.md"))}
    pages = {page.removeprefix("docs/") for page in list_pages() if not page.startswith("docs/runbooks/")}
    assert pages - {"README.md"} <= linked


def test_the_layers_of_the_architecture_are_those_that_imports_are_held_to():
    """One row each, from the highest layer to the lowest, as imports run."""
    rows = [*LAYER.finditer(read("docs/architecture.md"))]
    told = {number: {row["name"] for row in rows if int(row["layer"]) == number} for number in range(len(LAYERS) + 1)}
    assert told == {0: set(), **{number: set(names) for number, names in enumerate(LAYERS, 1)}}
    assert len(rows) == sum(map(len, LAYERS))
    assert [int(row["layer"]) for row in rows] == sorted((int(row["layer"]) for row in rows), reverse=True)


def test_the_layers_of_the_architecture_are_where_they_link_to():
    for row in LAYER.finditer(read("docs/architecture.md")):
        assert row["path"] in {f"dynaurora/{row['name']}", f"dynaurora/{row['name']}.py"}
        assert (PROJECT / row["path"]).exists(), row["path"]


def test_the_architecture_has_every_package_of_the_core():
    told = {row["name"] for row in LAYER.finditer(read("docs/architecture.md"))}
    assert {path.parent.name for path in (PROJECT / "dynaurora").glob("*/__init__.py")} <= told


def test_the_readme_has_the_packages_in_the_order_of_their_layers():
    names = [row["name"] for row in PACKAGE.finditer(read("README.md"))]
    layers = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    assert sorted(names) == sorted(path.parent.name for path in (PROJECT / "dynaurora").glob("*/__init__.py"))
    assert [layers[name] for name in names] == sorted((layers[name] for name in names), reverse=True)


def test_the_architecture_leads_from_every_function_to_its_core_file():
    cores = {row["name"]: row["core"] for row in FUNCTION.finditer(read("docs/architecture.md"))}
    assert cores.keys() == {path.stem for path in (PROJECT / "lambdas").glob("*.py")} - {"__init__"}
    for name, core in cores.items():
        module = core.removesuffix(".py").replace("/", ".")
        assert f"from dynaurora.{module} import" in read(f"lambdas/{name}.py"), f"{name} calls {core}"


def test_decisions_are_in_the_order_of_their_dates():
    dates = [dt.date.fromisoformat(row["date"]) for row in DECISION.finditer(read("docs/decisions.md"))]
    assert len(dates) > 30
    assert dates == sorted(dates)


def test_files_that_contributing_names_are_there():
    """By the ends of their paths, since the table leaves out what they have in common."""
    named = set(re.findall(r"`([\w./-]+\.(?:py|json|yaml|md))`", read("CONTRIBUTING.md")))
    folders = ("backfill", "docs", "dynaurora", "infra", "lambdas", "local", "statemachines", "tests", "tools")
    there = [f"/{path.relative_to(PROJECT).as_posix()}" for folder in folders for path in (PROJECT / folder).rglob("*")]
    assert len(named) > 30
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in there)] == []


def test_every_threat_names_what_holds_and_tests_that_there_are():
    """A row without a test says what is left instead."""
    table = read("docs/security.md").partition("## Threats")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    for *_, way, holds, shown, left in rows:
        tests = re.findall(r"\]\(\.\./(tests/[^)]+\.py)\)", shown)
        assert tests or (holds, shown) == ("–", "–"), way
        assert tests or left != "–", way
        for test in tests:
            assert re.search(r"^ *(async )?def test_", read(test), re.MULTILINE), test
