"""Words are completed by a real bash, which a terminal of its own is typed into."""

import os
import pty
import select
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

BASH = "/bin/bash"
MAPPINGS = ("orders", "devices", "orders_archive")


class Shell:
    """An interactive bash that has read the script of `dynaurora completion bash`."""

    def __init__(self, directory: Path) -> None:
        self._primary, replica = pty.openpty()
        words = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory), "PS1": "> "}
        elsewhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-west-1", "TERM": "dumb"}
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "INPUTRC": "/dev/null"}
        self._process = subprocess.Popen(
            [BASH, "--norc", "--noprofile", "-i"],
            stdin=replica,
            stdout=replica,
            stderr=replica,
            cwd=directory,
            env=words | elsewhere | keys,
            start_new_session=True,
        )
        os.close(replica)
        self.type(
            "bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; bind 'set show-all-if-ambiguous on'\n"
        )
        self.type('eval "$(dynaurora completion bash)"; echo re""ady\n', "ready")

    def type(self, keys: str, until: str = "> ") -> str:
        """Type keys, and return what is on the screen once a text is."""
        os.write(self._primary, keys.encode())
        seen, deadline = "", time.monotonic() + 60
        while until not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([self._primary], [], [], 0.5)[0]:
                seen += os.read(self._primary, 4096).decode()
        return seen

    def close(self) -> None:
        os.close(self._primary)
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    (root / "dynaurora.toml").write_text("")
    (root / "mappings").mkdir()
    for name in MAPPINGS:
        (root / "mappings" / f"{name}.json").write_text("{}")
    (root / "notes.txt").write_text("")
    return root


def test_a_bash_completes_commands_options_and_mappings(project):
    shell = Shell(project)
    try:
        assert "dynaurora backfill sta" in shell.type("dynaurora back\tsta\t", "status")
        shell.type("\x15")
        shell.type("dynaurora pause dev\t", "devices ")
        shell.type("\x15dynaurora pause devices ord\t", "orders_archive")
        shell.type("\x15dynaurora status --prof\t", "--profile ")
    finally:
        shell.close()


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
    for name, inner in getattr(command, "commands", {}).items():
        yield from list_parameters(inner, (*words, name))


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
