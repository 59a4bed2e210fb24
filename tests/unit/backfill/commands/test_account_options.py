"""--region and --profile decide what is signed, wherever they stand; a server here sees what that is."""

import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands.account_options import CREDENTIALS
from backfill.terminal.console import name_command

SIGNED = re.compile(r"Credential=(?P<key>\w+)/\d+/(?P<region>[\w-]+)/cloudformation/")
TOML = '[platform]\nregion = "sa-east-1"\nprofile = "ofproject"\n'


class Refusing(BaseHTTPRequestHandler):
    """Refuses every request, and keeps how it was signed."""

    seen: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self):
        found = SIGNED.search(self.headers["Authorization"])
        self.seen.append((found["key"], found["region"]))
        self.send_response(403)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as served:
        Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def project(tmp_path):
    (tmp_path / "dynaurora.toml").write_text(TOML)
    (tmp_path / "mappings").mkdir()
    profiles = ("ofproject", "other")
    (tmp_path / "config").write_text("".join(f"[profile {name}]\nregion = ca-central-1\n" for name in profiles))
    keys = "".join(f"[{name}]\naws_access_key_id = KEY{name}\naws_secret_access_key = s\n" for name in profiles)
    (tmp_path / "credentials").write_text(keys)
    return tmp_path


def ask(server, project, *arguments, **environment):
    """Run a command, and return its answer and how its requests were signed."""
    Refusing.seen.clear()
    files = {"AWS_CONFIG_FILE": project / "config", "AWS_SHARED_CREDENTIALS_FILE": project / "credentials"}
    answer = subprocess.run(
        [sys.executable, "-m", "backfill.cli", "--project", str(project), *arguments],
        env={"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": server, "AWS_MAX_ATTEMPTS": "1", **files, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return answer, {*Refusing.seen}


OF_ENVIRONMENT = {
    **dict.fromkeys(CREDENTIALS[:2], "KEYenvironment"),
    "AWS_REGION": "eu-north-1",
    "AWS_DEFAULT_PROFILE": "ofproject",
}


@pytest.mark.parametrize(
    ("arguments", "environment", "signed"),
    [
        (["status"], {}, ("KEYofproject", "sa-east-1")),
        (["status"], OF_ENVIRONMENT, ("KEYenvironment", "eu-north-1")),
        (["--region", "eu-west-3", "--profile", "other", "status"], OF_ENVIRONMENT, ("KEYother", "eu-west-3")),
        (["backfill", "list", "--region", "eu-west-3", "--profile", "other"], {}, ("KEYother", "eu-west-3")),
        (["--region", "us-east-2", "status", "--region", "us-gov-west-1"], {}, ("KEYofproject", "us-gov-west-1")),
    ],
    ids=["project", "environment", "before the command", "among its options", "the nearer one"],
)
def test_what_is_given_counts_before_the_environment_and_that_before_the_project(
    server, project, arguments, environment, signed
):
    answer, seen = ask(server, project, *arguments, **environment)
    assert answer.returncode == 1
    assert seen == {signed}


@pytest.mark.parametrize("arguments", [["--profile", "othr", "status"], ["failures", "count", "--profile", "othr"]])
def test_a_wrong_profile_is_named_with_those_there_are(server, project, arguments):
    answer, seen = ask(server, project, *arguments)
    assert (answer.returncode, seen) == (2, set())
    assert "No profile is named 'othr'; there are: ofproject, other." in answer.stderr


def test_what_is_no_region_is_refused():
    answer = CliRunner().invoke(main, ["status", "--region", "Frankfurt"])
    assert answer.exit_code == 2
    assert "'Frankfurt' is no region's name" in answer.stderr


def list_commands(command=main, words=()):
    yield words, command
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        yield from list_commands(inner, (*words, name))


@pytest.mark.parametrize(("words", "command"), [*list_commands()])
def test_every_command_has_both(words, command):
    assert {"region", "profile"} <= {parameter.name for parameter in command.params}


def test_the_next_command_is_told_with_what_was_given(monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-north-1")

    @main.command("tell")
    def tell():
        click.echo(name_command("status", "orders", stack="shop"))

    try:
        answer = CliRunner().invoke(main, ["--region", "eu-west-1", "tell"])
    finally:
        main.commands.pop("tell")
    assert answer.output.endswith("status orders --stack shop --region eu-west-1\n")


def test_a_project_that_is_made_takes_what_was_given_before_the_command(monkeypatch, tmp_path):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-north-1")
    answer = CliRunner().invoke(main, ["--region", "eu-west-1", "init", str(tmp_path / "shop")])
    assert answer.exit_code == 0
    assert 'region = "eu-west-1"' in (tmp_path / "shop/dynaurora.toml").read_text()
