"""The loader's password: rotated in the real database by the steps that Secrets Manager asks for, cut off anywhere."""

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dynaurora.aurora import loader
from dynaurora.aurora.connection import Credentials, Endpoint, connect
from dynaurora.aurora.loader import connect_loader
from dynaurora.aurora.secrets import read_candidates, read_credentials
from dynaurora.errors import (
    AccountLockedError,
    ConnectionLostError,
    MissingSecretError,
    RotationError,
    SecretRotatedError,
)
from dynaurora.observability import metrics
from dynaurora.settings import DatabaseSettings
from dynaurora.target.check_target import CHECKS, EQUALITY, YES
from dynaurora.target.rotate_loader_secret import FINISH, Rotation, take_step
from tests.integration.imports.test_prepare_function import Deployment
from tests.integration.targets import Target
from tests.support.cloudformation import Waiting, serve
from tests.support.functions import Context

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:No application metrics")]

WHOLE = ["createSecret", "setSecret", "testSecret", FINISH]
NOBODY = "arn:aws:lambda:us-east-1:000000000000:function:nobody"
"""A rotation function that is not there: the tests ask for the steps themselves."""


class RotatedDeployment(Deployment):
    """A stack whose loader's secret is being rotated."""

    version = ""
    """The id of the version that is to be the current one."""

    def begin(self) -> None:
        """Begin a rotation, as Secrets Manager does: with an empty version that is pending."""
        self.version = self._secrets.rotate_secret(SecretId=self.loader_secret, RotationLambdaARN=NOBODY)["VersionId"]

    def take(self, *steps: str) -> list[bool]:
        """Have the function take steps, each in an environment of its own; whether there was something to take."""
        taken = []
        for step in steps:
            sys.modules.pop("lambdas.rotate_loader_secret", None)
            metrics.clear_default_dimensions()
            metrics.clear_metrics()
            function = importlib.import_module("lambdas.rotate_loader_secret")
            event = {"SecretId": self.loader_secret, "ClientRequestToken": self.version, "Step": step}
            answer = function.lambda_handler({**event, "RotationToken": "of another account's"}, Context())
            assert answer["step"] == step
            taken.append(answer["taken"])
        return taken

    def read(self, stage: str = "AWSCURRENT") -> Credentials:
        document = self._secrets.get_secret_value(SecretId=self.loader_secret, VersionStage=stage)["SecretString"]
        return Credentials(**json.loads(document))

    def stages(self) -> list[str]:
        """The stages of the version that is to be the current one."""
        described = self._secrets.describe_secret(SecretId=self.loader_secret)
        return sorted(described["VersionIdsToStages"].get(self.version, []))

    def is_let_in(self, credentials: Credentials) -> bool:
        try:
            with connect(self.target.endpoint, credentials, load_from_s3=True):
                return True
        except SecretRotatedError:
            return False

    def log_in(self) -> str:
        """Log in as every function does; who that is."""
        with connect_loader(DatabaseSettings.from_environment(), load_from_s3=True) as aurora:
            ((user,),) = aurora.query("SELECT CURRENT_USER()")
        return str(user).partition("@")[0]

    def examine(self) -> dict[str, str]:
        """What `dynaurora doctor` finds of the database, and where it is not well why."""
        sys.modules.pop("lambdas.check_target", None)
        self.set(LANDING_BUCKET=self.target.bucket)
        findings = importlib.import_module("lambdas.check_target").lambda_handler(
            {"mapping": "web_analytics"}, Context()
        )["findings"]
        return {
            found["check"]: YES if found["state"] == YES else found["detail"] or found["state"] for found in findings
        }

    def check_rotated(self, before: Credentials) -> None:
        """Assert that the loader has another password, which its secret has too, and no longer the one before."""
        after = self.read()
        assert self.stages() == ["AWSCURRENT"]
        assert (after.username, self.read("AWSPREVIOUS")) == (before.username, before)
        assert len(after.password) == 32
        assert (self.is_let_in(after), self.is_let_in(before)) == (True, False)
        assert self.log_in() == before.username


@pytest.fixture
def deployment(target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[RotatedDeployment]:
    waiting = Waiting()
    with serve(waiting):
        found = RotatedDeployment(target, waiting, monkeypatch)
        assert found.ask()["Status"] == "SUCCESS"
        found.begin()
        yield found
    found.execute(f"DROP USER IF EXISTS {found.loader.username}@'%'")


def test_four_steps_give_the_loader_another_password(deployment: RotatedDeployment) -> None:
    assert deployment.take(*WHOLE) == [True] * 4
    deployment.check_rotated(deployment.loader)


@pytest.mark.parametrize("count", range(len(WHOLE) + 1))
def test_a_rotation_that_died_is_begun_again_and_nobody_was_locked_out(
    deployment: RotatedDeployment, count: int
) -> None:
    deployment.take(*WHOLE[:count])
    assert deployment.log_in() == deployment.loader.username
    assert deployment.examine() == dict.fromkeys(CHECKS, YES) | {EQUALITY: "they were never compared"}
    deployment.take(*WHOLE)
    deployment.check_rotated(deployment.loader)


def test_a_step_that_is_asked_for_twice_changes_nothing_more(deployment: RotatedDeployment) -> None:
    for step in WHOLE:
        deployment.take(step)
        before = read_candidates(deployment.loader_secret), deployment.stages()
        deployment.take(step)
        assert (read_candidates(deployment.loader_secret), deployment.stages()) == before
    deployment.check_rotated(deployment.loader)


def test_a_rotation_that_is_finished_is_left_alone(deployment: RotatedDeployment) -> None:
    deployment.take(*WHOLE)
    assert deployment.take(*WHOLE) == [False] * 4
    deployment.check_rotated(deployment.loader)


def test_a_rotation_that_died_before_its_very_end_is_finished(deployment: RotatedDeployment) -> None:
    deployment.take(*WHOLE)
    deployment._secrets.update_secret_version_stage(
        SecretId=deployment.loader_secret, VersionStage="AWSPENDING", MoveToVersionId=deployment.version
    )
    assert deployment.take(*WHOLE) == [False, False, False, True]
    deployment.check_rotated(deployment.loader)


def test_one_rotation_follows_another(deployment: RotatedDeployment) -> None:
    deployment.take(*WHOLE)
    before = deployment.read()
    deployment.begin()
    deployment.take(*WHOLE)
    deployment.check_rotated(before)


def test_a_rotation_follows_a_value_that_somebody_has_put_into_the_secret(deployment: RotatedDeployment) -> None:
    deployment.take(*WHOLE)
    deployment.rotate("put by hand")
    assert deployment.ask("Update")["Status"] == "SUCCESS"
    deployment.begin()
    deployment.take(*WHOLE)
    deployment.check_rotated(deployment.loader)


@pytest.mark.parametrize("step", WHOLE[1:3])
def test_no_password_is_set_or_tested_that_was_not_made(deployment: RotatedDeployment, step: str) -> None:
    with pytest.raises(MissingSecretError, match="cannot be read"):
        deployment.take(step)
    assert deployment.is_let_in(deployment.loader)


def test_what_secrets_manager_did_not_begin_is_refused(deployment: RotatedDeployment) -> None:
    version, deployment.version = deployment.version, "another"
    with pytest.raises(RotationError, match="version another of"):
        deployment.take("createSecret")
    deployment.version = version
    with pytest.raises(RotationError, match="no step 'dropSecret'"):
        deployment.take("dropSecret")
    assert deployment.stages() == ["AWSPENDING"]


def test_a_password_that_was_not_set_is_not_tested_well(deployment: RotatedDeployment) -> None:
    deployment.take("createSecret")
    with pytest.raises(SecretRotatedError):
        deployment.take("testSecret")


@pytest.mark.parametrize("count", range(len(WHOLE) + 1))
def test_a_deployment_in_the_middle_does_not_disturb_it(deployment: RotatedDeployment, count: int) -> None:
    deployment.take(*WHOLE[:count])
    assert deployment.ask("Update")["Status"] == "SUCCESS"
    assert deployment.log_in() == deployment.loader.username
    deployment.take(*WHOLE[count:])
    deployment.check_rotated(deployment.loader)


def test_a_process_reads_the_secret_once_until_the_database_refuses_what_it_kept(
    deployment: RotatedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()

    def counting(secret_arn: str) -> Credentials:
        read.append(secret_arn)
        return read_credentials(secret_arn)

    monkeypatch.setattr(loader, "read_credentials", counting)
    monkeypatch.setattr(loader, "_kept", {})
    for _ in range(3):
        assert deployment.log_in() == deployment.loader.username
    assert len(read) == 1
    deployment.take(*WHOLE)
    for _ in range(3):
        assert deployment.log_in() == deployment.loader.username
    assert len(read) == 2
    monkeypatch.setattr(loader, "SECRET_SECONDS", 0)
    assert deployment.log_in() == deployment.loader.username
    assert len(read) == 3, "it is not kept for ever"


def test_a_process_reads_the_secret_again_where_the_kept_user_is_let_in_no_more(
    deployment: RotatedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()
    deployment.log_in()
    monkeypatch.setattr(loader, "read_credentials", lambda arn: read.append(arn) or read_credentials(arn))
    deployment.execute(f"ALTER USER {deployment.loader.username}@'%' ACCOUNT LOCK")
    try:
        with pytest.raises(AccountLockedError):
            deployment.log_in()
    finally:
        deployment.execute(f"ALTER USER {deployment.loader.username}@'%' ACCOUNT UNLOCK")
    assert len(read) == 1


def test_what_a_caller_raises_is_no_refusal_of_what_was_kept(deployment: RotatedDeployment) -> None:
    deployment.log_in()
    with (
        pytest.raises(SecretRotatedError, match="by the caller"),
        connect_loader(DatabaseSettings.from_environment()),
    ):
        raise SecretRotatedError("Raised by the caller.")


def test_a_password_that_nobody_knows_is_told_and_mended_by_a_deployment(deployment: RotatedDeployment) -> None:
    deployment.execute(f"ALTER USER {deployment.loader.username}@'%' IDENTIFIED BY 'changed by hand'")
    deployment.take("createSecret")
    for locked_out in (lambda: deployment.take("setSecret"), deployment.log_in):
        with pytest.raises(SecretRotatedError):
            locked_out()
    assert deployment.ask("Update")["Status"] == "SUCCESS"
    deployment.take(*WHOLE)
    deployment.check_rotated(deployment.loader)


def test_a_database_that_is_away_fails_the_step(deployment: RotatedDeployment, target: Target) -> None:
    deployment.take("createSecret")
    nowhere = Endpoint(target.endpoint.host, 1, target.endpoint.ca_pem)
    with pytest.raises(ConnectionLostError):
        take_step("setSecret", Rotation(deployment.loader_secret, deployment.version, nowhere, wait_seconds=0))


def test_no_password_is_logged(deployment: RotatedDeployment, capfd: pytest.CaptureFixture[str]) -> None:
    deployment.take(*WHOLE)
    said: Any = capfd.readouterr()
    for password in (deployment.loader.password, deployment.read().password):
        assert password not in said.out + said.err
    assert '"SecretsRotated":[1.0]' in said.out.replace(" ", "")
