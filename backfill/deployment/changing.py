"""The ways to a target that is to change: the stack's own function, or the database where it can be reached."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from backfill.deployment.aws_errors import tell_caller
from backfill.deployment.clients import connect_functions, connect_objects
from dynaurora.aurora.column_changes import Patience
from dynaurora.aurora.connection import Credentials, Endpoint, connect
from dynaurora.errors import LockWaitError
from dynaurora.target.change_mapping import apply_change, plan_change, register_mapping
from dynaurora.target.left_replicas import describe_left, drop_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_lambda import LambdaClient

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

ANSWER_SECONDS: Final = 310.0
"""How long change_mapping is waited for; a bit longer than its own timeout."""
TURN_SECONDS: Final = 15.0
"""For which a table is waited for before what it waits for is told."""


class Way(Protocol):
    """A way to the target."""

    def plan(self, mapping: Mapping, *, drop: bool) -> dict[str, Any]:
        """Return what would be done."""
        ...

    def apply(self, mapping: Mapping, *, drop: bool) -> dict[str, Any] | str:
        """Do it, and return what was done; or what it waits for, after a while."""
        ...

    def register(self, mapping: Mapping) -> dict[str, Any]:
        """Make a mapping known."""
        ...

    def list_replicas(self, mapping: Mapping, *, drop: bool) -> dict[str, Any]:
        """Return the tables that rebuilds have left; drop them where it is time."""
        ...


@dataclass(frozen=True)
class ByFunction:
    """By the function change_mapping, from within the stack's network."""

    name: str

    def plan(self, mapping: Mapping, *, drop: bool) -> dict[str, Any]:
        """Return what would be done."""
        plan: dict[str, Any] = self._ask("plan", mapping, drop)["plan"]
        return plan

    def apply(self, mapping: Mapping, *, drop: bool) -> dict[str, Any] | str:
        """Do it, and return what was done; or what it waits for, after a while."""
        answer = self._ask("apply", mapping, drop)
        done: dict[str, Any] | str = answer["applied"] if "applied" in answer else answer["waiting"]
        return done

    def register(self, mapping: Mapping) -> dict[str, Any]:
        """Make a mapping known."""
        registered: dict[str, Any] = self._ask("register", mapping)["registered"]
        return registered

    def list_replicas(self, mapping: Mapping, *, drop: bool) -> dict[str, Any]:
        """Return the tables that rebuilds have left; drop them where it is time."""
        left: dict[str, Any] = self._ask("replicas", mapping, drop)["replicas"]
        return left

    def _ask(self, action: str, mapping: Mapping, drop: bool = False) -> dict[str, Any]:
        event = {"action": action, "mapping": mapping.name, "document": mapping.text, "drop": drop}
        functions: LambdaClient = connect_functions(ANSWER_SECONDS)
        payload = json.dumps(event | {"seconds": TURN_SECONDS}).encode()
        answer = functions.invoke(FunctionName=self.name, Payload=payload)
        document: dict[str, Any] = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise click.ClickException(tell_caller(f"{document.get('errorType')}: {document.get('errorMessage')}"))
        return document


@dataclass(frozen=True)
class ByConnection:
    """By a connection of this machine's own."""

    endpoint: Endpoint
    administrator: Credentials
    bucket: str

    def plan(self, mapping: Mapping, *, drop: bool) -> dict[str, Any]:
        """Return what would be done."""
        with self._connect() as aurora:
            return plan_change(aurora, mapping, drop=drop)

    def apply(self, mapping: Mapping, *, drop: bool) -> dict[str, Any] | str:
        """Do it, and return what was done; or what it waits for, after a while."""
        try:
            with self._connect() as aurora:
                return apply_change(aurora, mapping, connect_objects(), self.bucket, Patience(TURN_SECONDS), drop=drop)
        except LockWaitError as error:
            return error.problem

    def register(self, mapping: Mapping) -> dict[str, Any]:
        """Make a mapping known."""
        with self._connect() as aurora:
            return register_mapping(aurora, mapping, connect_objects(), self.bucket)

    def list_replicas(self, mapping: Mapping, *, drop: bool) -> dict[str, Any]:
        """Return the tables that rebuilds have left; drop them where it is time."""
        with self._connect() as aurora:
            return drop_left(aurora, mapping) if drop else describe_left(aurora, mapping)

    @contextmanager
    def _connect(self) -> Iterator[Aurora]:
        with connect(self.endpoint, self.administrator) as aurora:
            yield aurora


def apply_patiently(
    way: Way, mapping: Mapping, seconds: float, tell: Callable[[str], None], *, drop: bool
) -> dict[str, Any]:
    """Apply a mapping, telling what is waited for; give up after so long. Raises ClickException then."""
    deadline = time.monotonic() + seconds
    while isinstance(answer := way.apply(mapping, drop=drop), str):
        if time.monotonic() > deadline:
            raise click.ClickException(f"Not done within {seconds:.0f} s: {answer}")
        tell(f"Waiting: {answer}")
    return answer
