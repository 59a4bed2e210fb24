"""Rotating the loader's secret: another password, in four steps that Secrets Manager asks for one after the other.

    createSecret  a new password becomes the secret's pending version
    setSecret     the loader, logged in with the current one, gives itself the pending one
    testSecret    the loader logs in with the pending one, as an import does
    finishSecret  the pending version becomes the current one

Each step first looks whether it was done, since a rotation that fails anywhere is begun again from its first step, with
the same version (AWS Secrets Manager User Guide, "Lambda rotation functions"). The loader changes its own password, for
which a user needs no right, so that nobody needs the administrator's secret. Between setSecret and finishSecret the
current password is refused: whoever connects then tries the pending one (`dynaurora.aurora.loader`).
"""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import sql
from dynaurora.aurora.connection import connect
from dynaurora.aurora.secrets import CURRENT, PENDING, find_pending_credentials, read_credentials
from dynaurora.aws import sdk
from dynaurora.errors import RotationError
from dynaurora.target.prepare_target import can_log_in

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Endpoint

FINISH: Final = "finishSecret"
"""The last of the steps."""
CHARACTERS: Final = (string.ascii_uppercase, string.ascii_lowercase, string.digits, "!#$*+-.:=?@^_~")
"""What a password is of, some of each, as password policies have it; no quote and no backslash.
infra/target.yaml has the first one made with punctuation, too."""
LENGTH: Final = 32
"""Of a password, in characters."""
ROTATION_WAIT_SECONDS: Final = 120.0
"""For a database that comes back from a pause, or fails over."""


@dataclass(frozen=True)
class Rotation:
    """One rotation of the loader's secret."""

    secret_arn: str
    version: str
    """The id of the version that is to be the current one."""
    endpoint: Endpoint
    """Where the loader logs in."""
    wait_seconds: float = ROTATION_WAIT_SECONDS


def take_step(step: str, rotation: Rotation) -> bool:
    """Take one of the four steps; return whether there was something to do.

    Raises RotationError where there is no such step or no such rotation, or what reading the secret and connecting do.
    """
    steps = {
        "createSecret": create_password,
        "setSecret": give_pending_password,
        "testSecret": test_password,
        FINISH: promote_password,
    }
    if step not in steps:
        raise RotationError(f"Rotations have no step {step!r}.")
    stages = _read_stages(rotation.secret_arn).get(rotation.version, [])
    if CURRENT in stages and (step != FINISH or PENDING not in stages):
        return False
    if PENDING not in stages:
        raise RotationError(f"The version {rotation.version} of {rotation.secret_arn} is not pending.")
    steps[step](rotation)
    return True


def create_password(rotation: Rotation) -> None:
    """Make the pending version's password, unless it has one."""
    if find_pending_credentials(rotation.secret_arn) is not None:
        return
    loader = read_credentials(rotation.secret_arn)
    password = make_password()
    with sdk.translated_errors():
        sdk.client("secretsmanager").put_secret_value(
            SecretId=rotation.secret_arn,
            ClientRequestToken=rotation.version,
            SecretString=json.dumps({"username": loader.username, "password": password}),
            VersionStages=[PENDING],
        )


def make_password() -> str:
    """Return a password with characters of each kind."""
    while True:
        password = "".join(secrets.choice("".join(CHARACTERS)) for _ in range(LENGTH))
        if all(set(kind) & set(password) for kind in CHARACTERS):
            return password


def give_pending_password(rotation: Rotation) -> None:
    """Give the loader the pending password, unless it has it. Raises SecretRotatedError where it has another one."""
    pending = read_credentials(rotation.secret_arn, PENDING)
    if can_log_in(rotation.endpoint, pending, rotation.wait_seconds):
        return
    current = read_credentials(rotation.secret_arn)
    with connect(rotation.endpoint, current) as aurora:
        aurora.execute(*sql.set_own_password(aurora.server_version, pending.password, current.password))


def test_password(rotation: Rotation) -> None:
    """Log in with the pending password, as an import does. Raises what that raises."""
    with connect(rotation.endpoint, read_credentials(rotation.secret_arn, PENDING), load_from_s3=True):
        pass


def promote_password(rotation: Rotation) -> None:
    """Make the pending version the current one, the current one the previous one, and none pending.

    A version that stays pending and is not the current one any more, as after somebody has put another value into the
    secret, would keep rotations from beginning (AWS Secrets Manager API Reference, "RotateSecret").
    """
    stages = _read_stages(rotation.secret_arn)
    (current,) = (version for version, labels in stages.items() if CURRENT in labels)
    move = partial(sdk.client("secretsmanager").update_secret_version_stage, SecretId=rotation.secret_arn)
    with sdk.translated_errors():
        if current != rotation.version:
            move(VersionStage=CURRENT, MoveToVersionId=rotation.version, RemoveFromVersionId=current)
        move(VersionStage=PENDING, RemoveFromVersionId=rotation.version)


def _read_stages(secret_arn: str) -> dict[str, list[str]]:
    """Return the stages of each of a secret's versions that has any."""
    with sdk.translated_errors():
        stages: dict[str, list[str]] = sdk.client("secretsmanager").describe_secret(SecretId=secret_arn)[
            "VersionIdsToStages"
        ]
    return stages
