"""`dynaurora local status` and `env`: what runs where, for people and for programs."""

from __future__ import annotations

import json
import shlex
from typing import Any

import click

from backfill.commands.local_shared import explained_errors, find_running, name_command, print_pairs
from backfill.project import current_project
from backfill.terminal.console import print_line


@click.command(
    epilog="""\b
Examples:
  dynaurora local status
  dynaurora local status --json | jq .pipeline.waiting
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print the status as one JSON object.")
def status(*, as_json: bool) -> None:
    """Show what runs where, and how much is on its way. Exit status 1 where nothing runs.

    How the replications stand, here as on AWS, is told by `dynaurora status`.
    """
    with explained_errors():
        from local.status import read_status

        found = read_status(current_project().state_directory)
    if as_json:
        click.echo(json.dumps(found))
    else:
        print_status(found)
    if not found["running"]:
        raise SystemExit(1)


@click.command(
    epilog="""\b
Example:
  eval "$(dynaurora local env)"
  aws dynamodb scan --table-name web_analytics --max-items 3
  mysql -e 'SELECT * FROM Demo.WebAnalytics LIMIT 3'
"""
)
def env() -> None:
    """Print shell exports with which aws, boto3 and mysql reach the local AWS."""
    with explained_errors():
        from local.running import UNSET_VARIABLES, export_variables, find_client_directory

        state = find_running()
        variables = export_variables(state, current_project().state_directory)
        client = find_client_directory(state)
    for name in UNSET_VARIABLES:
        click.echo(f"unset {name}")
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    if client:
        click.echo(f'export PATH="$PATH":{shlex.quote(str(client))}')


def print_places(where: dict[str, Any]) -> None:
    """Print where things are, for people."""
    aurora = where["aurora"]
    rows = {
        "AWS API": where["endpoint_url"],
        "landing bucket": where["bucket"],
        "state machines": ", ".join(where["state_machines"].values()),
        "Aurora": f"mysql://{aurora['user']}@{aurora['host']}:{aurora['port']}/{aurora['database']}",
    }
    print_pairs(rows)
    for name, place in where["replications"].items():
        targets = ", ".join(f"{target['database']}.{target['table']}" for target in place["targets"])
        print_pairs({name: f"{place['table']} ─▶ {targets}"})


def print_status(found: dict[str, Any]) -> None:
    """Print the status for people."""
    if not found["running"]:
        print_line(f"The local AWS is not running; start it with: {name_command()} local up")
        return
    print_pairs(
        {
            "supervisor": f"process {found['processes']['supervisor']}",
            "AWS API": f"{found['endpoint_url']}, process {found['processes']['emulator']}",
            "Aurora": f"{found['aurora']['host']}:{found['aurora']['port']}, "
            + (f"process {found['processes']['database']}" if found["processes"]["database"] else "down"),
        }
    )
    replications = found.get("replications", {})
    if not replications:
        print_line(f"Nothing is deployed; deploy with: {name_command()} local up")
    for name, replication in replications.items():
        print_counts(name, replication["pipeline"])


def print_counts(name: str, counts: dict[str, Any]) -> None:
    """Print how much of a mapping is on its way."""
    print_pairs(
        {
            "mapping": name,
            "batches waiting": "unknown" if counts["waiting"] is None else counts["waiting"],
            "imports running": counts["executions"]["running"],
            "imports succeeded": counts["executions"]["succeeded"],
            "imports failed": counts["executions"]["failed"],
            "items in DynamoDB": counts["items"],
            "rows in Aurora": "unknown" if counts["rows"] is None else counts["rows"],
        }
    )
