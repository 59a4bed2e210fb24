"""What the commands that start runs have in common: the plan they print, and what follows a start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backfill.commands.watch import watch_run
from backfill.runs.executions import Execution
from backfill.runs.find import FoundRun
from backfill.runs.start import Options, Start, Wanted, now
from backfill.terminal.console import name_command, print_json, print_lines, print_pairs, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backfill.deployment.clients import Clients
    from backfill.runs.reports import Pair


def print_plan(wanted: Wanted, planned: Start, facts: Iterable[Pair], details: Options, as_json: bool) -> None:
    """Print what would be started, and what else is known of it: `facts` for people, `details` for machines."""
    arn = wanted.execution_arn(planned.name)
    if as_json:
        print_json({"started": False, "run": planned.run, "execution": arn, "input": planned.input, **details})
        return
    print_pairs([("would start", planned.name), ("execution", arn), *facts])
    print_lines(json.dumps(planned.input, indent=2))


def watch_started(clients: Clients, wanted: Wanted, started: Start, arn: str, **how: Any) -> None:
    """Watch a run that was started."""
    say(f"Run {started.run} is started.")
    execution = Execution(arn, started.name, "RUNNING", now())
    watch_run(clients, FoundRun(wanted.kind, wanted.deployment, started.run, execution), **how)


def print_started(wanted: Wanted, started: Start, arn: str, stack: str | None, as_json: bool) -> None:
    """Print what was started, and the commands that a person needs next."""
    kind, deployment = wanted.kind, wanted.deployment
    commands = {verb: name_command(kind.name, verb, started.run, stack=stack) for verb in ("watch", "stop")}
    if as_json:
        print_json(
            {
                "started": True,
                "run": started.run,
                "mapping": deployment.mapping,
                "stack": deployment.stack,
                "execution": arn,
                "input": started.input,
                "next": commands,
            }
        )
        return
    print_pairs([("run", started.run), ("execution", arn), *commands.items()])
