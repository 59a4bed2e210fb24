import json
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.terminal.console import print_line, say
from dynaurora import __version__


def list_commands(command: click.Command = main, name: str = "dynaurora") -> list[tuple[str, click.Command]]:
    context = click.Context(command)
    children = command.list_commands(context) if isinstance(command, click.Group) else ()
    below = [
        found for child in children for found in list_commands(command.get_command(context, child), f"{name} {child}")
    ]
    return [(name, command), *below]


@pytest.mark.parametrize(("name", "command"), list_commands(), ids=lambda value: value if type(value) is str else "")
def test_every_command_and_option_has_help(name, command):
    answer = CliRunner().invoke(main, [*name.split()[1:], "--help"])
    assert answer.exit_code == 0
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize(("name", "command"), list_commands(), ids=lambda value: value if type(value) is str else "")
def test_examples_name_commands_that_exist(name, command):
    known = {name for name, _ in list_commands()}
    examples = [line.partition("dynaurora ")[2] for line in (command.epilog or "").splitlines() if "dynaurora " in line]
    for example in examples:
        words = [word for word in example.replace(")", " ").replace('"', " ").split() if not word.startswith("-")]
        assert any(f"dynaurora {' '.join(words[:length])}" in known for length in (1, 2)), example


def test_version():
    assert CliRunner().invoke(main, ["--version"]).output == f"dynaurora {__version__}\n"


@pytest.mark.parametrize("arguments", [["no-such-command"], ["local", "demo", "--items", "0"], ["local", "up", "--no"]])
def test_a_command_that_is_not_understood_ends_with_status_2(arguments):
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no-such-command"], "no-such-command"),
        (["backfill", "start"], "MAPPING"),
        (["backfill", "list", "--limit", "0"], "--limit"),
        (["backfill", "list", "--no"], "--no"),
    ],
    ids=lambda value: " ".join(value) if type(value) is list else "",
)
def test_who_asks_for_json_is_told_in_json_what_went_wrong(arguments, says):
    answer = CliRunner().invoke(main, [*arguments, "--json"])
    told = json.loads(answer.stdout)
    assert (answer.exit_code, told["exit_status"]) == (2, 2)
    assert says in told["error"]
    assert told["error"] in answer.stderr
    assert CliRunner().invoke(main, arguments).stdout == ""


def run_in_environment(*arguments, **environment):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "backfill.cli", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere", "AWS_REGION": "us-east-1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"AWS_PROFILE": "no-such-profile"}, "aws configure list-profiles"),
        ({"AWS_ENDPOINT_URL": "no-endpoint"}, "Correct AWS_ENDPOINT_URL"),
    ],
    ids=["profile", "endpoint"],
)
def test_an_sdk_that_is_configured_wrongly_is_named_and_help_is_given_all_the_same(environment, says):
    answer = run_in_environment("backfill", "list", "--json", **environment)
    assert answer.returncode == 1
    assert says in json.loads(answer.stdout)["error"]
    assert "Traceback" not in answer.stderr
    assert run_in_environment("backfill", "--help", **environment).returncode == 0


def test_an_arn_is_printed_as_it_is(capsys):
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:loader"
    print_line(arn)
    say(arn)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{arn}\n", f"{arn}\n")


def test_the_command_line_starts_without_what_only_the_judging_of_records_needs():
    """It takes longer to import than all of the rest."""
    program = "import sys, backfill.cli; print('jsonschema' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout == "False\n"
