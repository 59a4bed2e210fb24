"""Sign-ins that are over, as the AWS SDK finds them: in its own files, of a program, and in what AWS answers."""

import json
import os
import subprocess
import sys
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from backfill.cli import main

CONFIG = """
[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Ops
[profile "start url"]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = Ops
[profile through-sso]
role_arn = arn:aws:iam::123456789012:role/Ops
source_profile = sso
[profile through-keys]
role_arn = arn:aws:iam::123456789012:role/Ops
source_profile = keys
[profile in-a-circle]
role_arn = arn:aws:iam::123456789012:role/Ops
source_profile = in-a-circle-too
[profile in-a-circle-too]
role_arn = arn:aws:iam::123456789012:role/Ops
source_profile = in-a-circle
[profile program]
credential_process = /bin/sh -c "echo the vault is locked >&2; exit 3"
[profile says-nothing]
credential_process = /bin/echo hello
[profile no-program]
credential_process = /nowhere/vault
[profile program-and-keys]
credential_process = /nowhere/vault
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = x
[profile program-and-kept-keys]
credential_process = /nowhere/vault
[profile identity]
role_arn = arn:aws:iam::123456789012:role/Ops
web_identity_token_file = /nowhere/token
[profile identity-that-is-there]
role_arn = arn:aws:iam::123456789012:role/Ops
web_identity_token_file = token
[profile through-identity]
role_arn = arn:aws:iam::123456789012:role/Ops
source_profile = identity
[profile login]
login_session = arn:aws:iam::123456789012:user/me
[profile keys]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = x
[profile temporary]
aws_access_key_id = ASIAEXAMPLE
aws_secret_access_key = x
aws_session_token = x
[profile half]
aws_access_key_id = AKIAEXAMPLE
[profile bare]
output = json
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_registration_scopes = sso:account:access
"""
KEPT = "[program-and-kept-keys]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = x\n"
TOKEN = {"startUrl": "https://corp.awsapps.com/start", "region": "eu-west-1", "accessToken": "a"}
REFRESHED = {"clientId": "a", "clientSecret": "a", "refreshToken": "a", "registrationExpiresAt": "2099-01-01T00:00:00Z"}
"""By which the SDK tries to renew a token, of who gave it."""


@pytest.fixture(autouse=True)
def known(tmp_path, monkeypatch):
    """The environment of somebody whose sign-in was over months ago, and who has nothing else."""
    cache = tmp_path / ".aws/sso/cache"
    cache.mkdir(parents=True)
    (tmp_path / ".aws/config").write_text(CONFIG)
    (tmp_path / ".aws/credentials").write_text(KEPT)
    for name in ("corp", TOKEN["startUrl"]):
        file = cache / f"{sha1(name.encode(), usedforsecurity=False).hexdigest()}.json"
        file.write_text(json.dumps(TOKEN | {"expiresAt": "2026-01-01T00:00:00Z"} | REFRESHED))
    monkeypatch.chdir(tmp_path)
    given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_REGION": "eu-west-1"}
    nobody = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    with patch.dict(os.environ, given | nobody, clear=True):
        yield


@pytest.fixture
def answering():
    """Start servers that answer everything with one of AWS's errors; return where each is."""
    servers = []

    def start(code, message):
        class Answer(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
                self.send_response(403)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def fail(*words, **environment):
    """Run a command that fails, and return what it said: one line on standard error."""
    answer = CliRunner().invoke(main, ["status", *words], env=environment)
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.exception is None or isinstance(answer.exception, SystemExit)
    assert answer.stderr.startswith("Error: ")
    assert answer.stderr.count("\n") == 1
    return answer.stderr


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        (
            "program",
            ("the profile program", "the vault is locked", "get credential_process --profile program"),
        ),
        (
            "says-nothing",
            ("the profile says-nothing", "Expecting value", "get credential_process --profile says-nothing"),
        ),
        ("no-program", ("the profile no-program", "/nowhere/vault", "get credential_process --profile no-program")),
        ("program-and-keys", ("/nowhere/vault", "get credential_process --profile program-and-keys")),
        ("identity", ("the profile identity", "'/nowhere/token'", "Renew the file that its web_identity_token_file")),
        ("through-identity", ("the profile identity", "'/nowhere/token'", "Renew the file")),
        (
            "login",
            ("sign-in of the profile login", "Run `aws login --profile login`.", "export-credentials --profile login"),
        ),
        ("half", ("part of the AWS credentials of the profile half", "Run `aws configure --profile half`")),
        ("bare", ("No AWS credentials of the profile bare", "Give --profile")),
        ("in-a-circle", ("Infinite loop in credential configuration", "Correct that: `aws configure list`")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_who_is_signed_out_is_named_with_the_next_command(profile, told):
    said = fail("--profile", profile)
    assert all(text in said for text in told)
    assert ".." not in said


@pytest.mark.parametrize(
    ("profile", "source"), [("sso", "sso"), ("start url", "'start url'"), ("through-sso", "sso")], ids=str
)
def test_a_sign_in_that_is_over_is_named_with_the_command_that_renews_it(answering, profile, source):
    os.environ["AWS_ENDPOINT_URL"] = answering("InvalidGrantException", "Invalid refresh token")
    command = [str(Path(sys.executable).parent / "dynaurora"), "status", "--profile", profile]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # the SDK looks for its cache once
    assert (answer.returncode, answer.stdout) == (1, "")
    named = source.strip("'")
    assert answer.stderr.startswith(f"Error: The sign-in of the profile {named} is over: ")
    assert answer.stderr.endswith(f". Run `aws sso login --profile {source}`.\n")
    assert answer.stderr.count("\n") == 1


def test_without_a_profile_this_machine_is_named():
    assert "No AWS credentials of this machine: Unable to locate credentials. Give --profile" in fail()


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId"])
@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ("keys", ("credentials of the profile keys", "Run `aws configure --profile keys`")),
        ("temporary", ("credentials of the profile temporary", "have what wrote them write new ones")),
        ("through-keys", ("credentials of the profile keys", "Run `aws configure --profile keys`")),
        ("program-and-kept-keys", ("Run `aws configure --profile program-and-kept-keys`",)),
    ],
    ids=["keys", "temporary", "through-keys", "program-and-kept-keys"],
)
def test_what_aws_does_not_accept_is_named(answering, code, profile, told):
    elsewhere = {"AWS_ENDPOINT_URL": answering(code, "The security token included in the request is expired.")}
    said = fail("--profile", profile, **elsewhere)
    assert said.startswith("Error: AWS does not accept the ")
    assert f"is expired ({code}). " in said
    assert all(text in said for text in told)


def test_what_the_environment_has_counts_before_the_profile_that_it_names(answering):
    elsewhere = {"AWS_ENDPOINT_URL": answering("ExpiredToken", "It is expired"), "AWS_PROFILE": "sso"}
    keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"}
    assert "credentials of the environment: It is expired" in fail(**elsewhere, **keys)


def test_a_clock_that_is_wrong_is_no_sign_in(answering):
    answer = "Signature expired: 20260101T000000Z is now earlier than 20260102T000000Z"
    elsewhere = {"AWS_ENDPOINT_URL": answering("SignatureDoesNotMatch", answer)}
    said = fail("--profile", "keys", **elsewhere)
    assert "this machine's clock" in said
    assert "aws configure" not in said


def test_a_web_identity_that_is_there_is_what_aws_is_asked_with(answering):
    Path("token").write_text("a.token")
    elsewhere = {"AWS_ENDPOINT_URL": answering("InvalidIdentityToken", "No OpenIDConnect provider found")}
    said = fail("--profile", "identity-that-is-there", **elsewhere)
    assert "AssumeRoleWithWebIdentity answered InvalidIdentityToken: No OpenIDConnect provider found" in said
