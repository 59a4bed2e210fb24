"""What commands share that do one thing to several replications, beside each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.aws_errors import explain_any
from backfill.deployment.deployments import choose_deployment, choose_deployments
from backfill.terminal.console import WrongUseError, say
from dynaurora.errors import DynauroraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from backfill.deployment.deployments import Deployment

AT_ONCE: Final = 10
"""Replications that are looked at, or changed, at the same time."""

Result = TypeVar("Result")


def check_named(names: Sequence[str], *, everything: bool) -> None:
    """Raise WrongUseError where neither names nor all are given, or both."""
    if everything == bool(names):
        raise WrongUseError("--all goes without names." if names else "Name mappings, or give --all.")


def choose_named(deployments: Sequence[Deployment], names: Sequence[str]) -> list[Deployment]:
    """Return the deployments of some mappings, in their order, or all. Raises WrongUseError for one that is none's."""
    if not names:
        return choose_deployments(deployments, None)
    return [choose_deployment(deployments, name) for name in dict.fromkeys(names)]


def do_to_each(
    deployments: Sequence[Deployment], act: Callable[[Deployment], Result]
) -> Iterator[tuple[Deployment, Result | str]]:
    """Yield each deployment with what came of it, in their order, or why nothing did: one that fails stops no other."""
    context = click.get_current_context(silent=True)

    def attempt(deployment: Deployment) -> Result | str:
        try:
            with context.scope(cleanup=False) if context else nullcontext():  # each thread is told of the project
                return act(deployment)
        except click.ClickException as error:
            return error.format_message()
        except (DynauroraError, BotoCoreError, ClientError) as error:
            return explain_any(error)

    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(deployments)))) as workers:
        yield from zip(deployments, workers.map(attempt, deployments), strict=True)


class Complaints:
    """Why something was not done to some replications: each reason is told once, with the names of all."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._names: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._names)

    def add(self, deployment: Deployment, reason: str) -> None:
        """Take one."""
        self._names.setdefault(reason, []).append(deployment.mapping)

    def tell(self) -> None:
        """Tell all, on standard error."""
        for reason, names in self._names.items():
            say(f"{', '.join(names)}: {self._what}: {reason}")


def name_replication_of(deployment: Deployment) -> dict[str, Any]:
    """Return what each line for machines begins with."""
    return {"mapping": deployment.mapping, "stack": deployment.stack, "table": deployment.table}
