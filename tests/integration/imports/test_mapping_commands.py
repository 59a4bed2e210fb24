"""`dynaurora mapping plan|apply|register` against the real database, by a connection and by the stack's function."""

import importlib
import io
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from backfill.cli import main
from backfill.commands import mapping_change
from backfill.deployment import changing
from dynaurora.aurora import column_changes
from dynaurora.aurora.connection import connect
from dynaurora.aurora.generations import Generations
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.mappings.registry import Registry
from dynaurora.observability import metrics
from tests.integration.imports.test_columns import reading
from tests.integration.targets import Target, TargetFor
from tests.support.factories import column, mapping_document
from tests.support.functions import Context
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

EMAIL = column("email", "VARCHAR(40)")
CITY = column("city", "VARCHAR(60)")
ALTERS = "SELECT id FROM information_schema.processlist WHERE info LIKE 'ALTER TABLE%'"
Run = Callable[..., Result]


def things(*columns: dict[str, str]) -> Mapping:
    return build_mapping("things", mapping_document(*columns))


@pytest.fixture
def target(target_for: TargetFor) -> Target:
    return target_for(things(EMAIL))


class Functions:
    """The way to change_mapping without a network: its real handler, and what Lambda makes of its error."""

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "clicks-change-mapping"
        metrics.clear_default_dimensions()
        metrics.clear_metrics()
        sys.modules.pop("lambdas.change_mapping", None)
        function = importlib.import_module("lambdas.change_mapping")
        try:
            with redirect_stdout(io.StringIO()):
                answer = function.lambda_handler(json.loads(Payload), Context())
            return {"Payload": io.BytesIO(json.dumps(answer).encode())}
        except Exception as error:  # noqa: BLE001
            document = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {"Payload": io.BytesIO(json.dumps(document).encode()), "FunctionError": "Unhandled"}


@pytest.fixture(params=["connection", "function"])
def run(request: pytest.FixtureRequest, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    user = target.administrator
    secret = boto3.client("secretsmanager").create_secret(
        Name=f"{request.param}-{target.bucket}",
        SecretString=json.dumps({"username": user.username, "password": user.password}),
    )["ARN"]
    (tmp_path / "ca.pem").write_text(target.endpoint.ca_pem)
    options: list[str] = []
    if request.param == "connection":
        place = {"host": target.endpoint.host, "port": target.endpoint.port, "secret-arn": secret}
        place |= {"ca-file": tmp_path / "ca.pem", "bucket": target.bucket}
        options = [f"--{name}={value}" for name, value in place.items()]
    else:
        for name, value in {
            "MAPPING": "things",
            "DATABASE_HOST": target.endpoint.host,
            "DATABASE_PORT": str(target.endpoint.port),
            "DATABASE_ADMIN_SECRET_ARN": secret,
            "DATABASE_CA": target.endpoint.ca_pem,
            "LANDING_BUCKET": target.bucket,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(changing, "connect_functions", lambda _: Functions())
        monkeypatch.setattr(mapping_change, "find_way", lambda *_, **__: changing.ByFunction("clicks-change-mapping"))
    monkeypatch.setattr(changing, "TURN_SECONDS", 0.5)

    def command(verb: str, mapping: Mapping, *arguments: str) -> Result:
        file = tmp_path / "things.json"
        file.write_text(mapping.text)
        return CliRunner().invoke(main, ["mapping", verb, str(file), *arguments, *options])

    return command


def find_current(target: Target) -> Mapping:
    return Registry(S3Objects(), target.bucket, "things").find_current()


def test_what_is_planned_is_applied_and_then_there_is_nothing_to_do(run: Run, target: Target) -> None:
    assert run("apply", things(EMAIL), "--yes").exit_code == 0
    wider = things(EMAIL, CITY)
    planned = run("plan", wider)
    assert planned.exit_code == 0
    assert "add             city VARCHAR(60), while imports go on" in planned.output
    assert "ADD COLUMN `city` VARCHAR(60) NULL, ALGORITHM=INSTANT;" in planned.output
    assert [name for name, *_ in target.query("SHOW COLUMNS FROM Demo.Things")] == ["id", "email"], "it only plans"
    assert find_current(target).digest == things(EMAIL).digest
    applied = run("apply", wider, "--yes")
    assert "Applied: things is at generation 2" in applied.output
    assert [name for name, *_ in target.query("SHOW COLUMNS FROM Demo.Things")] == ["id", "email", "city"]
    assert find_current(target).digest == wider.digest
    again = json.loads(run("apply", wider, "--yes", "--json").output)
    assert (again["generation"], again["switched"], again["plan"]["add"]) == (2, False, [])
    assert "nothing to do" in run("plan", wider).output


def test_rows_that_are_there_have_to_be_filled_and_what_that_costs_is_said(run: Run, target: Target) -> None:
    run("apply", things(EMAIL), "--yes")
    with connect(target.endpoint, target.administrator) as aurora, aurora.transaction():
        aurora.execute("INSERT INTO Demo.Things__replica (id, _deleted, _version) VALUES ('b', 0, 1)")
    planned = json.loads(run("plan", things(EMAIL, CITY), "--json").output)
    assert planned["fill"] == ["city"]
    assert planned["backfill"]["usd"] >= 0
    assert "backfill start things" in run("plan", things(EMAIL, CITY)).output


def test_nothing_is_done_before_it_is_confirmed(run: Run, target: Target) -> None:
    before = target.query("SHOW CREATE TABLE Demo.Things__replica")
    assert run("apply", things(EMAIL, CITY)).exit_code == 1, "there is nobody to say yes"
    assert target.query("SHOW CREATE TABLE Demo.Things__replica") == before
    assert run("apply", things(EMAIL, CITY), "--json").exit_code == 2


def test_what_is_refused_is_named_with_the_way_that_works(run: Run, target: Target) -> None:
    run("apply", things(EMAIL), "--yes")
    renamed = things(column("mail", "VARCHAR(40)", "email"))
    planned = run("plan", renamed)
    assert planned.exit_code == 1
    assert "refuse          mail is another name for email" in planned.output
    assert "dynaurora mapping rebuild" in planned.output
    applied = run("apply", renamed, "--yes")
    assert applied.exit_code == 1
    assert "mail is another name for email" in applied.output
    assert find_current(target).digest == things(EMAIL).digest


def test_a_mapping_that_waits_to_be_read_is_registered_and_not_activated(run: Run, target: Target) -> None:
    run("apply", things(EMAIL), "--yes")
    older = things(CITY)
    assert json.loads(run("register", older, "--json").output)["digest"] == older.digest
    assert find_current(target).digest == things(EMAIL).digest
    with connect(target.endpoint, target.administrator) as aurora:
        assert Generations(aurora, "Demo", "things").find(older.digest).number == 0


def stop_after_a_try(target: Target, stop: Callable[[], None]) -> None:
    """Stop what keeps a table once altering it was tried in vain."""
    wait_until(lambda: target.query(ALTERS))
    wait_until(lambda: not target.query(ALTERS))
    stop()


def test_what_keeps_the_table_is_told_until_it_ends(run: Run, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_changes, "ALTER_WAIT_SECONDS", 1)
    run("apply", things(EMAIL), "--yes")
    with connect(target.endpoint, target.administrator) as aurora, aurora.transaction():
        aurora.execute("INSERT INTO Demo.Things__replica (id, _deleted, _version) VALUES ('b', 0, 1)")
    with reading(target) as stop, ThreadPoolExecutor() as pool:
        late = run("apply", things(EMAIL, CITY), "--yes", "--wait", "0")
        assert late.exit_code == 1
        assert "Not done within 0 s: Demo.Things is kept by" in late.output
        ended = pool.submit(stop_after_a_try, target, stop)
        patient = run("apply", things(EMAIL, CITY), "--yes")
        ended.result()
    assert patient.exit_code == 0, patient.output
    assert "Waiting: Demo.Things is kept by another transaction" in patient.output
