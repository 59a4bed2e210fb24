"""`dynaurora upgrade`: a stack of release 0.1 becomes a platform and a replication, while it replicates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from backfill.commands.deploy import explained_deployment, make_deployer, print_plan, refuse
from backfill.commands.deploy import finish as finish_deployment
from backfill.commands.options import check_needs_no_answer, json_option, yes_option
from backfill.deployment.clients import connect_to
from backfill.deployment.deployments import PLATFORM_OUTPUTS
from backfill.deployment.earlier import (
    PLATFORMS_ALONE,
    EarlierReader,
    find_reader,
    is_earlier,
    read_packaged_mapping,
)
from backfill.kinds import BACKFILL, REPROCESS
from backfill.project import FILE, Project, current_project
from backfill.terminal.console import WrongUseError, name_command, print_json, print_line, say

if TYPE_CHECKING:
    from backfill.deployment.plans import Plan
    from backfill.deployment.stacks import Stack
    from dynaurora.mappings.mapping import Mapping


@click.command(
    epilog="""\b
Examples:
  dynaurora upgrade --dry-run
  dynaurora upgrade
  dynaurora upgrade --finish           once the replication's own reader has caught up
"""
)
@click.option("--finish", is_flag=True, help="End what read the table's stream by release 0.1.")
@yes_option
@click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
@json_option
def upgrade(finish: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Have the project's stack, of release 0.1, become its platform, and a replication take its table over.

    The stack's mapping is written to mappings/, and what its table was replicated with to dynaurora.toml. Cluster,
    bucket, network, tables and rows stay. The stack's reader goes on beside the replication's own until --finish.
    What was cut short goes on when it is done again.

    Exit status 0 done or nothing to do, 1 it failed, 2 wrong use.
    """
    check_needs_no_answer(as_json=as_json, is_answered=yes or dry_run)
    with explained_deployment():
        project = current_project()
        earlier = find_earlier(project)
        if earlier is None:
            tell_nothing_left(project, as_json=as_json)
            return
        if not finish:
            earlier = earlier.as_begun()
        deployer = replace(make_deployer(earlier.project), upgrade="finish" if finish else "begin")
        plan = deployer.plan([earlier.mapping], everything=False)
        if finish:
            require_taken_over(plan)
        if not as_json:
            print_plan(plan)
        refuse(plan)
        outcome = None
        if plan.changes and not dry_run:
            if not yes:
                click.confirm("End the earlier reader?" if finish else "Upgrade it?", abort=True)
            if not finish:
                write_project(earlier)
            outcome = deployer.carry_out(plan, say)
    finish_deployment(plan, outcome, as_json=as_json)
    if outcome and not as_json:
        tell_next(plan, finish=finish)


@dataclass(frozen=True)
class Earlier:
    """What is there of release 0.1."""

    project: Project
    reader: EarlierReader
    mapping: Mapping

    def as_begun(self) -> Earlier:
        """Return it in the project as it is when the upgrade has begun: with what the replication is to be given."""
        given = self.reader.replication_parameters | self.project.replications.get(self.mapping.name, {})
        return replace(self, project=replace(self.project, replications={self.mapping.name: given}))


def find_earlier(project: Project) -> Earlier | None:
    """Return what is there of release 0.1; None where a platform has nothing of it.

    Raises WrongUseError where there is neither, where the project has another mapping, or while a run is under way.
    """
    stacks = make_deployer(project).stacks
    root = stacks.wait(project.stack)
    if root is None:
        raise WrongUseError(f"There is no stack {project.stack}: name the one to upgrade in [platform] of {FILE}.")
    reader = find_reader(stacks, root)
    if reader is None:
        if PLATFORMS_ALONE in root.outputs:
            return None
        raise WrongUseError(f"The stack {project.stack} is no platform, and none of release 0.1.")
    if is_earlier(root):
        require_no_run(root)
    mapping = read_packaged_mapping(connect_to("lambda"), reader)
    if mapping.name in project.mapping_names() and project.load_mapping(mapping.name).digest != mapping.digest:
        raise WrongUseError(
            f"mappings/{mapping.name}.json is another mapping than {project.stack} was deployed with: put it aside and"
            " upgrade; then deploy it as a change."
        )
    return Earlier(project, reader, mapping)


def require_no_run(root: Stack) -> None:
    """Raise WrongUseError while a backfill or reprocess is under way: its functions would become others meanwhile."""
    states = connect_to("stepfunctions")
    for kind, output in ((BACKFILL, "backfill_table_arn"), (REPROCESS, "reprocess_failures_arn")):
        machine = root.outputs[PLATFORM_OUTPUTS[output]]
        if running := states.list_executions(stateMachineArn=machine, statusFilter="RUNNING", maxResults=1)[
            "executions"
        ]:
            raise WrongUseError(
                f"The {kind.name} {running[0]['name']} is under way: wait for its end, or stop it, then upgrade."
            )


def require_taken_over(plan: Plan) -> None:
    """Raise WrongUseError where nothing reads the stream yet in place of what is to go."""
    (step,) = plan.replications
    if step.action == "create":
        raise WrongUseError(f"The replication {step.stack} is not there yet: upgrade first, without --finish.")
    functions = connect_to("lambda")
    reader = functions.get_event_source_mapping(UUID=step.outputs["ForwardChangesEventSourceMappingId"])
    result = reader.get("LastProcessingResult", "")
    if reader["State"] != "Enabled" or result.startswith("PROBLEM"):
        raise WrongUseError(
            f"The reader of {step.stack} is {reader['State']}{f', {result}' if result else ''}: the earlier one is"
            f" needed still. See what is wrong with: {name_command('doctor', step.mapping.name)}"
        )


def write_project(earlier: Earlier) -> None:
    """Write the mapping, and the replication's parameters, where they are not there."""
    project, mapping = earlier.project, earlier.mapping
    file = project.mappings / f"{mapping.name}.json"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(mapping.text, "utf-8")
    settings = project.root / FILE
    heading, text = f"[replications.{mapping.name}]", settings.read_text("utf-8")
    if heading not in text.splitlines():
        lines = [f'{name} = "{value}"\n' for name, value in project.replications[mapping.name].items()]
        settings.write_text(f"{text.rstrip()}\n\n{heading}\n{''.join(lines)}", "utf-8")


def tell_nothing_left(project: Project, *, as_json: bool) -> None:
    """Print that there is nothing to do."""
    if as_json:
        print_json({"platform": {"stack": project.stack, "action": "keep"}, "replications": [], "deployed": []})
    else:
        print_line(f"Nothing to do: the platform {project.stack} has nothing of release 0.1.")


def tell_next(plan: Plan, *, finish: bool) -> None:
    """Print what comes next."""
    if finish:
        print_line(f"{plan.platform.stack} is a platform, and nothing of release 0.1 is left.")
        return
    name = plan.replications[0].mapping.name
    print_line("Both readers run. See that all is well, and import what was kept meanwhile; then end the earlier one:")
    for words in (("doctor", name), ("reprocess", "start", name, "--watch"), ("upgrade", "--finish")):
        print_line(f"  {name_command(*words)}")
