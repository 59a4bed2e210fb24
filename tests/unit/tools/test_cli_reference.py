"""docs/cli.md is what `--help` says."""

import click
import pytest
from click.testing import CliRunner

from backfill.cli import main
from tools import cli_reference


def list_paths(command, path="dynaurora"):
    """Every command, by what is typed."""
    yield path
    context = click.Context(command)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from list_paths(command.get_command(context, name), f"{path} {name}")


def test_the_page_is_as_help_says():
    assert cli_reference.PAGE.read_text("utf-8") == cli_reference.render(), "run: make docs"


@pytest.mark.parametrize("path", [*list_paths(main)])
def test_a_commands_section_is_its_help(path):
    answer = CliRunner().invoke(main, [*path.split()[1:], "--help"], terminal_width=cli_reference.WIDTH)
    help_text = "\n".join(map(str.rstrip, answer.output.splitlines())).replace("Usage: main", "Usage: dynaurora")
    assert f"## {path}\n\n```text\n{help_text}\n```\n" in cli_reference.render()


def test_every_command_has_one_section():
    headings = [line.removeprefix("## ") for line in cli_reference.render().splitlines() if line.startswith("## ")]
    assert sorted(headings) == sorted(list_paths(main))


def test_the_page_does_not_depend_on_the_terminal(monkeypatch):
    before = cli_reference.render()
    monkeypatch.setenv("COLUMNS", "40")
    assert cli_reference.render() == before


def test_it_writes_the_page_that_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli_reference, "PAGE", tmp_path / "cli.md")
    cli_reference.run(["--write"])
    assert capsys.readouterr().out == ""
    cli_reference.run([])
    assert capsys.readouterr().out == (tmp_path / "cli.md").read_text("utf-8")
