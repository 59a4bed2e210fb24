"""Finding a run by its id: the execution that does it, or what the database keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backfill.deployment.deployments import find_deployments, require_any
from backfill.runs.executions import Execution, choose_standing, describe_execution, list_executions
from backfill.runs.recorded import Row, RowsUnknownError, describe_runs
from backfill.runs.reports import read_report
from backfill.runs.run_ids import find_run_id, is_named_after, is_of_run, may_be_started_as, name_execution
from backfill.runs.run_view import RunReader, view_row
from backfill.terminal.console import WrongUseError, name_command

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from backfill.deployment.clients import Clients
    from backfill.deployment.deployments import Deployment
    from backfill.kinds import Kind
    from backfill.runs.run_view import RunView

NEWEST_READ = 100
"""Executions among which the newest run is looked for: AWS lists those that ended by their end."""


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run, where it is deployed, and the execution that stands for it; or its row, where that is all that is left."""

    kind: Kind
    deployment: Deployment
    run: str
    execution: Execution | None
    row: Row | None = None

    def look(self, clients: Clients) -> RunView:
        """Return the run as it is now."""
        if self.execution and (view := self.make_reader(clients, self.execution).look()):
            return view
        if self.row is None:
            raise click.ClickException(f"Run {self.run} cannot be seen just now. Look again in a moment.")
        report = read_report(clients.s3, self.deployment.bucket, self.deployment.mapping, self.run)
        return view_row(self.kind, self.deployment, self.row, report)

    def make_reader(self, clients: Clients, execution: Execution) -> RunReader:
        """Return what looks at an execution of the run, again and again."""
        return RunReader(clients, self.kind, self.deployment, self.run, execution.arn)


def find_run(clients: Clients, kind: Kind, run: str | None, stack: str | None = None) -> FoundRun:
    """Return a run, or the newest of its kind. Raises WrongUseError where there is none, or it is in several stacks."""
    deployments = find_deployments(clients.cloudformation, stack)
    require_any(deployments)
    if run is None:
        return find_newest(clients, kind, deployments)
    found = [hit for deployment in deployments if (hit := find_in_deployment(clients, kind, deployment, run))]
    if len(found) > 1:
        stacks = ", ".join(hit.deployment.stack for hit in found)
        raise WrongUseError(f"Several stacks have a run {run}: {stacks}. Name one with --stack.")
    if not found:
        stacks = ", ".join(deployment.stack for deployment in deployments)
        raise WrongUseError(
            f"There is no {kind.name} {run} in {stacks}. "
            f"List the runs with: {name_command(kind.name, 'list', stack=stack)}"
        )
    return found[0]


def find_newest(clients: Clients, kind: Kind, deployments: Sequence[Deployment]) -> FoundRun:
    """Return the run that was started last. Raises WrongUseError where there is none."""
    names = frozenset(deployment.mapping for deployment in deployments)
    newest = [
        (execution, one)
        for one in deployments
        if (execution := find_newest_execution(clients, one.machine_arn(kind), one.mapping, names - {one.mapping}))
    ]
    if newest:
        execution, deployment = max(newest, key=lambda pair: pair[0].started_at)
        run = find_run_id(kind, execution)
        return find_in_deployment(clients, kind, deployment, run) or FoundRun(kind, deployment, run, execution)
    command = name_command(kind.name, "start", deployments[0].mapping)
    raise WrongUseError(f"No {kind.name} was started yet. Start one with: {command}")


def find_newest_execution(
    clients: Clients, machine_arn: str, mapping: str, others: Collection[str] = ()
) -> Execution | None:
    """Return the execution of a mapping's run that was started last, beside those of other mappings.

    One that was refused only where all were.
    """
    refused = None
    executions = list_executions(clients.states, machine_arn, NEWEST_READ)
    for listed in (one for one in executions if not is_named_after(one.name, others)):
        execution = describe_execution(clients.states, listed.arn) or listed
        if execution.found_nothing or not execution.is_of(mapping):
            continue
        if not execution.was_refused:
            return execution
        refused = refused or execution
    return refused


def find_in_deployment(clients: Clients, kind: Kind, deployment: Deployment, run: str) -> FoundRun | None:
    """Return a run of one deployment; None where that has none of this id."""
    executions = list(describe_executions(clients, kind, deployment, run))
    standing = choose_standing(executions)
    if standing and standing.is_running:
        return FoundRun(kind, deployment, run, standing)
    # It may also have been started by hand, or longer ago than Step Functions remembers.
    row = read_row(clients, kind, deployment, run)
    if row and (recorded := describe_execution(clients.states, row["execution"])):
        standing = choose_standing([*executions, recorded])
    elif row and standing and standing.was_refused:
        standing = None
    return FoundRun(kind, deployment, run, standing, row) if standing or row else None


def describe_executions(clients: Clients, kind: Kind, deployment: Deployment, run: str) -> Iterator[Execution]:
    """Yield the executions of a run: of those named after it, or started when it says."""
    mapping = deployment.mapping
    listed = list_executions(clients.states, deployment.machine_arn(kind))
    arns = [
        execution.arn
        for execution in listed
        if is_of_run(execution.name, mapping, run) or may_be_started_as(kind, execution, run)
    ]
    # One that was just started may not be listed yet.
    first = deployment.execution_arn(kind, name_execution(mapping, run))
    for arn in arns or [first]:
        execution = describe_execution(clients.states, arn)
        if execution and execution.is_of(mapping) and find_run_id(kind, execution) == run:
            yield execution


def read_row(clients: Clients, kind: Kind, deployment: Deployment, run: str) -> Row | None:
    """Return what the database keeps of a run; None where that is nothing, or it does not answer."""
    try:
        return next(iter(describe_runs(clients.functions, deployment, kind, run)), None)
    except RowsUnknownError:
        return None
