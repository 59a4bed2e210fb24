"""`dynaurora ui` on a deployment: it tells what the commands tell, and needs no more than who only looks may do."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import CliRunner

from backfill.cli import main
from backfill.terminal.console import hearing
from backfill.ui.looks import Looks
from backfill.ui.parts import PAGES
from infra.places import ROOT
from tests.infrastructure.called_actions import actions_of
from tests.integration.backfill.deployed import MAPPING, Deployed, make_bad_item, make_items

pytestmark = pytest.mark.integration

DYNAURORA = Path(sys.executable).with_name("dynaurora")
STATEMENTS = json.loads((ROOT / "infra" / "read-policy.json").read_text())["Statement"]
PATIENCE_SECONDS = 60
CHANGING = {"seen_at", "seconds", "lag_seconds", "reader_lag_seconds"}


def ask(*words: str, status: int = 0) -> Any:
    answer = CliRunner().invoke(main, [*words, "--json"])
    assert answer.exit_code == status, answer.output
    return json.loads(answer.stdout)


def list_of(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def is_allowed(action: str, resource: str) -> bool:
    """Tell whether the read policy allows an action on what a call names, by the last part of its name."""
    return any(
        action in list_of(one["Action"]) and fnmatchcase(resource, pattern.split(":")[-1])
        for one in STATEMENTS
        for pattern in list_of(one["Resource"])
    )


@pytest.fixture
def only_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have AWS refuse what the read policy does not allow: calls, functions by name and objects by prefix."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def allow(client: Any, operation: str, arguments: Any) -> Any:
        service = client.meta.service_model.service_name
        action, *_ = actions_of(service, "invoke_function" if operation == "Invoke" else xform_name(operation))
        kind = action.partition(":")[0]
        resource = {
            "lambda": f"{arguments.get('FunctionName')}",
            "s3": f"dynaurora-landing/{arguments['Key']}" if "Key" in arguments else "dynaurora-landing",
            "dynamodb": "table/any",
            "states": "dynaurora-any",
        }.get(kind, "any")
        if not is_allowed(action, resource):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"{action} on {resource}"}}, operation)
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", allow)


def test_what_pages_tell_is_what_commands_tell(
    deployed: Deployed, find_reader: None, run: str, request: pytest.FixtureRequest
) -> None:
    deployed.forget_failures()
    deployed.put([*make_items(30), make_bad_item("<script>alert(1)</script>"), make_bad_item("bad")])
    deployed.backfill(run)
    told = {
        "status": ask("status", MAPPING, status=1),
        "backfill": ask("backfill", "list", MAPPING, "--limit", "10"),
        "run": ask("backfill", "status", run),
        "failures": ask("failures", "count", MAPPING, "--include-parked"),
        "failure": ask("failures", "show", MAPPING),
    }
    request.getfixturevalue("only_looking")
    with pytest.raises(ClientError):  # as it would be on AWS
        deployed.api.s3.put_object(Bucket=deployed.outputs["LandingBucketName"], Key="reports/x", Body=b"")
    looks = Looks()
    asked = {"mapping": MAPPING, "kind": "backfill", "run": run, "id": told["failure"]["id"]}
    found, said = {}, []
    for part in (part for page in PAGES for part in page.told):
        with hearing() as heard:
            found[part.name] = json.loads(json.dumps(part.tell(part.read(looks, asked), asked)))
        said += heard
    assert forget(found["status"]) == forget(told["status"]) == forget(found["tables"][0])
    assert [forget(each) for each in found["backfill"]] == [forget(each) for each in told["backfill"]]
    assert forget(found["run"]) == forget(told["run"])
    assert [phase["name"] for phase in found["run"]["phases"]][:3] == ["checking", "exporting", "planning"]
    counted = {name: found["failures"][name] for name in told["failures"]}
    assert counted == told["failures"] | {"superseded": None}  # compare_rows is none of who only looks
    assert {each["item"]["page_id"]["S"] for each in found["failures"]["entries"]} == {
        "<script>alert(1)</script>",
        "bad",
    }
    assert found["failure"] == told["failure"] | {"superseded": None}
    assert found["imports"][0]["run"] == run
    assert found["mapping"]["digest"] == deployed.mapping.digest
    known = ("compare-rows", "without counts")  # of who may not ask that function, and of runs of earlier tests
    assert [line for line in said if not any(part in line for part in known)] == []


def forget(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without what is another each time."""
    return {name: value for name, value in document.items() if name not in CHANGING}


@pytest.fixture
def page(deployed: Deployed, find_reader: None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [DYNAURORA, "ui", "--json"], env={**os.environ}, stdout=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stdout
        try:
            yield serving, json.loads(serving.stdout.readline())["url"]
        finally:
            serving.kill()


def test_the_command_serves_until_it_is_interrupted(page: tuple[subprocess.Popen[str], str]) -> None:
    serving, url = page
    host, place = urlsplit(url).netloc, urlsplit(url).path
    with closing(http.client.HTTPConnection(host, timeout=PATIENCE_SECONDS)) as connection:
        connection.request("GET", f"{place}?{urlsplit(url).query}")
        welcome = connection.getresponse()
        welcome.read()
        connection.request("GET", f"{place}tables.json", headers={"Cookie": welcome.headers["Set-Cookie"]})
        (standing,) = json.loads(connection.getresponse().read())
        assert (standing["mapping"], standing["stack"]) == (MAPPING, ask("status", status=1)["stack"])
    with pytest.raises(OSError, match="refused"), socket.create_connection(("::1", int(host.partition(":")[2]))):
        pass
    serving.send_signal(signal.SIGINT)
    assert serving.wait(PATIENCE_SECONDS) == 0


def test_a_port_that_is_taken_is_named(deployed: Deployed) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        answer = CliRunner().invoke(main, ["ui", "--port", str(port)])
    assert answer.exit_code == 1
    assert re.search(rf"Port {port} .* something else listens there\. Name another with --port", answer.output)


def test_where_nothing_is_deployed_it_says_so_and_serves_nothing(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    answer = CliRunner().invoke(main, ["ui"])
    assert answer.exit_code == 2
    assert "Nothing is deployed in this account and region." in answer.output
