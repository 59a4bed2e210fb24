"""Starting runs, whatever their kind: which execution to start, and what is printed of it."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.runs.executions import Execution, choose_standing, describe_execution
from backfill.runs.run_ids import ATTEMPTS, make_run_id, name_execution
from backfill.terminal.console import WrongUseError, name_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_stepfunctions import SFNClient

    from backfill.deployment.deployments import Deployment
    from backfill.kinds import Kind

START_ATTEMPTS: Final = 10
NEW_NAME_SECONDS: Final = 1.0
"""After this, DescribeExecution knows an execution that StartExecution refused to start a second time."""

Options = dict[str, Any]


class RunIsRunningError(click.ClickException):
    """The run that is to be started has not ended, or another one is in its way."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that is to be started."""

    kind: Kind
    deployment: Deployment
    run: str | None
    """None for a new one."""
    options: Options
    """What was given."""
    defaults: Options

    def execution_arn(self, name: str) -> str:
        """Return the ARN that an execution with a name has."""
        return self.deployment.execution_arn(self.kind, name)


@dataclass(frozen=True, slots=True)
class Start:
    """One execution that can be started: its name is free, as far as is known."""

    run: str
    name: str
    input: dict[str, Any]
    earlier: Execution | None = None
    """The execution that stands for the run so far; it has ended."""


def start_execution(states: SFNClient, wanted: Wanted) -> tuple[Start, str]:
    """Start a run and return it with its execution's ARN.

    Raises RunIsRunningError where the run that is named has not ended.
    """
    for _ in range(START_ATTEMPTS):
        planned = plan_start(states, wanted)
        try:
            answer = states.start_execution(
                stateMachineArn=wanted.deployment.machine_arn(wanted.kind),
                name=planned.name,
                input=json.dumps(planned.input),
            )
        except states.exceptions.ExecutionAlreadyExists:
            time.sleep(NEW_NAME_SECONDS)
        else:
            return planned, answer["executionArn"]
    raise click.ClickException(
        f"Others keep starting runs of {wanted.deployment.mapping}. Look at them, then try again."
    )


def plan_start(states: SFNClient, wanted: Wanted) -> Start:
    """Return what to start.

    Raises RunIsRunningError where the run that is named has not ended.
    """
    if wanted.run is None:
        while (new := plan_named_start(states, wanted, make_run_id(wanted.kind, now()))).earlier:
            wait_for_next_second()
        return new
    planned = plan_named_start(states, wanted, wanted.run)
    if planned.earlier and planned.earlier.is_running:
        raise RunIsRunningError(
            f"Run {wanted.run} is running already, as {planned.earlier.arn}. "
            f"Watch it with: {name_command(wanted.kind.name, 'watch', wanted.run)}"
        )
    return planned


def plan_named_start(states: SFNClient, wanted: Wanted, run: str) -> Start:
    """Return what to start for a run, whatever its executions do."""

    def describe(name: str) -> Execution | None:
        return describe_execution(states, wanted.execution_arn(name))

    mapping = wanted.deployment.mapping
    name, earlier = find_free_name(mapping, run, describe)
    return Start(run, name, make_input(mapping, run, wanted.options, wanted.defaults, earlier), earlier)


def find_free_name(mapping: str, run: str, describe: Callable[[str], Execution | None]) -> tuple[str, Execution | None]:
    """Return the next name for an execution of a run, and the execution that stands for the run so far.

    Raises WrongUseError where it was started too often.
    """
    earlier: list[Execution] = []
    for attempt in range(1, ATTEMPTS + 1):
        name = name_execution(mapping, run, attempt)
        found = describe(name)
        if found is None:
            return name, choose_standing(earlier)
        # The name may also be of another run: run `a-2` has the one that a repeat of run `a` would have.
        if found.input.get("run", run) == run:
            earlier.append(found)
    raise WrongUseError(f"Run {run} was started {ATTEMPTS} times. Start a new one: leave --run out.")


def make_input(mapping: str, run: str, given: Options, defaults: Options, earlier: Execution | None) -> dict[str, Any]:
    """Return the input of an execution; what is not given is as in the run's last one that was not refused.

    `request` differs in every start. Step Functions answers a second start with the same name and input as if it had
    made it; like this it refuses it, and whoever came second is told.
    """
    known = earlier.input if earlier and not earlier.was_refused else {}
    before = {name: known[name] for name in defaults if name in known}
    return {"mapping": mapping, "run": run, **defaults, **before, **given, "request": uuid.uuid4().hex}


def leave_out_unknown(given: Options) -> Options:
    """Return options without those that a command line does not have, which are None."""
    return {name: value for name, value in given.items() if value is not None}


def wait_for_next_second() -> None:
    """Return when the clock shows another second."""
    time.sleep(1 - now().microsecond / 1e6)


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)
