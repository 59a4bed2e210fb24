"""Words are completed by real shells: bash and zsh, each typed into on a terminal of its own, and fish."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands import completion
from backfill.project import VARIABLE
from tests.support.shells import COMMANDS, Shell

MAPPINGS = ("orders", "devices", "orders_archive")


TYPED = (
    ("dynaurora back", {"backfill"}, "dynaurora backfill "),
    ("dynaurora backfill sta", {"start", "status"}, "status"),
    ("dynaurora pause dev", {"devices"}, "dynaurora pause devices "),
    ("dynaurora pause devices ord", {"orders", "orders_archive"}, "orders_archive"),
    ("dynaurora status --prof", {"--profile"}, "dynaurora status --profile "),
)
"""Lines, words that are offered for the last of each, and what a Tab brings to the screen."""
needs_shell = {
    name: pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not installed: make test-shells")
    for name in completion.SHELLS
}


def make_environment(directory: Path) -> dict[str, str]:
    """Return what a shell knows whose AWS cannot be reached."""
    words = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory)}
    elsewhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-west-1", "TERM": "dumb"}
    return words | elsewhere | {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    (root / "dynaurora.toml").write_text("")
    (root / "mappings").mkdir()
    for name in MAPPINGS:
        (root / "mappings" / f"{name}.json").write_text("{}")
    (root / "notes.txt").write_text("")
    return root


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_shell[name]) for name in COMMANDS])
def test_a_shell_completes_commands_options_and_mappings(project, name):
    shell = Shell(name, project, make_environment(project))
    try:
        for line, _, until in TYPED:
            shell.type(f"{line}\t", until)
            shell.type("\x15", "")
    finally:
        shell.close()


@needs_shell["fish"]
@pytest.mark.parametrize(("line", "offered", "until"), TYPED)
def test_a_fish_offers_commands_options_and_mappings(project, line, offered, until):
    told = f"dynaurora completion fish | source; complete --do-complete={shlex.quote(line)}"
    answer = subprocess.run(
        ["fish", "--no-config", "--command", told],
        cwd=project,
        env=make_environment(project),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stderr == ""
    assert {found.partition("\t")[0] for found in answer.stdout.splitlines()} == offered


def test_fish_is_told_to_keep_the_order():
    assert completion.IN_ORDER in CliRunner().invoke(main, ["completion", "fish"]).stdout


def complete(project, *words, **environment):
    """Return the words that a shell would offer for the last of some."""
    asked = {"COMP_WORDS": "\n".join(("dynaurora", *words)), "COMP_CWORD": str(len(words)), VARIABLE: str(project)}
    answer = subprocess.run(
        [str(Path(sys.executable).parent / "dynaurora")],
        env={"PATH": os.environ["PATH"], completion.VARIABLE: "bash_complete", **asked, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.stderr == ""
    return answer.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["doctor", ""], ["devices", "orders", "orders_archive"]),
        (["pause", "orders", "o"], ["orders_archive"]),
        (["failures", "list", "d"], ["devices"]),
        (["mapping", "check", "no"], ["no"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
    ids=" ".join,
)
def test_what_is_offered(project, words, offered):
    assert [word.partition(",")[2] for word in complete(project, *words)] == offered


def test_nothing_is_told_where_aws_cannot_be_asked(project):
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-west-1"}
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    assert complete(project, "backfill", "watch", "", **environment, **keys) == []
    assert complete(project, "backfill", "watch", "--profile", "none", "", **environment) == []
    assert complete(project / "nowhere", "doctor", "") == []


def test_what_takes_too_long_is_passed_over(monkeypatch):
    monkeypatch.setattr(completion, "SECONDS", 0.01)

    def wait(_):
        time.sleep(1)
        yield "late"

    context = main.make_context("dynaurora", ["completion", "bash"], resilient_parsing=True)
    assert completion.find_briefly(context, wait) == []


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_shell_has_a_script(shell):
    answer = CliRunner().invoke(main, ["completion", shell])
    assert answer.exit_code == 0
    assert f"{completion.VARIABLE}={shell}_complete" in answer.stdout


def list_parameters(command=main, words=()):
    for parameter in command.params:
        yield words, parameter
    context = click.Context(command)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from list_parameters(command.get_command(context, name), (*words, name))


def test_what_names_a_mapping_or_a_run_is_completed():
    completed = {
        " ".join((*words, parameter.name))
        for words, parameter in list_parameters()
        if isinstance(parameter.type, completion.Completed)
    }
    assert {"pause mappings", "deploy names", "destroy name", "mapping try name", "backfill start run"} <= completed
    assert {"backfill watch run", "backfill stop run", "reprocess status run", "verify mapping"} <= completed


def test_a_run_is_completed_of_either_kind_where_the_command_is_of_none():
    command = click.Command(
        "report", params=[click.Argument(["run"], required=False), click.Option(["--run", "other"])]
    )
    completion.add_completions(command, ("report",))
    argument, option = command.params
    assert isinstance(argument.type, completion.Completed)
    assert not isinstance(option.type, completion.Completed)
    kinds = completion._find_kinds(click.Context(command, info_name="report"))
    assert [kind.name for kind in kinds] == ["backfill", "reprocess"]
    group = click.Context(click.Group("reprocess"), info_name="reprocess")
    assert [kind.name for kind in completion._find_kinds(click.Context(command, group, "watch"))] == ["reprocess"]
