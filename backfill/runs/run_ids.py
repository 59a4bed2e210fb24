"""Names: run ids, and the executions that do them.

An execution is named `<mapping>-<run>`; where a run is started again, `<mapping>-<run>-2`, `-3`, …, because Step
Functions keeps a name for 90 days. One that a schedule starts has a name of AWS's own, and its run that of its time.
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Final

from backfill.terminal.console import WrongUseError
from dynaurora.batches.batch import VERIFY
from dynaurora.runs.requests import EXPORT_ARN, EXPORT_SUMMARY, RUN_ID, TABLE_ARN

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from backfill.kinds import Kind
    from backfill.runs.executions import Execution

NAME_LENGTH: Final = 80
"""Of an execution's name (AWS Step Functions API Reference, "StartExecution")."""
ATTEMPTS: Final = 999
"""How often a run is started at most; its number is part of the name."""
NUMBERED: Final = re.compile(r"(?P<name>.+)-(?P<attempt>[2-9]|[1-9][0-9]{1,2})", re.ASCII)


def check_run(mapping: str, run: str) -> None:
    """Raise WrongUseError where a run cannot have this id."""
    if not RUN_ID.fullmatch(run):
        raise WrongUseError(
            f"{run!r} cannot be a run's id: it has up to 64 letters, digits, hyphens and underscores, and begins with "
            "a letter or digit. Choose another, or leave --run out."
        )
    longest = NAME_LENGTH - len(f"{mapping}--{ATTEMPTS}")
    if len(run) > longest:
        raise WrongUseError(
            f"The run's id {run!r} is too long: with the mapping {mapping} it may have {longest} characters, because "
            f"the execution's name may have {NAME_LENGTH}. Choose a shorter one, or leave --run out."
        )


def check_export_arn(arn: str, table: str) -> None:
    """Raise WrongUseError where an ARN is not that of an export of a table."""
    if not EXPORT_ARN.fullmatch(arn):
        raise WrongUseError(
            f"{arn!r} is not the ARN of an export. List them with: aws dynamodb list-exports --query "
            "'ExportSummaries[].ExportArn'"
        )
    exported = arn.split("/")[1]
    if exported != table:
        raise WrongUseError(
            f"The export {arn} is of the table {exported}, and this mapping replicates {table}. Give an export of "
            "that table, or leave --export-arn out to make one."
        )


def check_export_summary(address: str) -> None:
    """Raise WrongUseError where a text is not where an export's summary may be."""
    if not EXPORT_SUMMARY.fullmatch(address):
        raise WrongUseError(
            f"{address!r} is not s3://BUCKET/…/AWSDynamoDB/…/manifest-summary.json. An export is given by its summary, "
            "and read from below a folder AWSDynamoDB/, as DynamoDB writes it: copy it with that folder."
        )


def check_table_arn(arn: str) -> None:
    """Raise WrongUseError where a text is not a table's ARN."""
    if not TABLE_ARN.fullmatch(arn):
        raise WrongUseError(f"{arn!r} is not the ARN of a table. The export's summary has it, as tableArn.")


def make_run_id(kind: Kind, time: datetime) -> str:
    """Return the run id of a time; ids sort by time."""
    return kind.run_prefix + time.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def name_execution(mapping: str, run: str, attempt: int = 1) -> str:
    """Return the name of an execution; `attempt` counts from 1. A mapping's name is cut where it is too long."""
    rest = f"-{run}" if attempt == 1 else f"-{run}-{attempt}"
    return mapping[: NAME_LENGTH - len(rest)] + rest


def is_named_after(name: str, mappings: Collection[str]) -> bool:
    """Tell whether an execution of this name does a run of one of these mappings, whose names have no hyphens.

    A platform's machines serve all mappings: who looks for one's executions need not ask for those of others.
    """
    return name.partition("-")[0] in mappings


def is_of_run(name: str, mapping: str, run: str) -> bool:
    """Tell whether an execution of this name may belong to a run. Its input tells for sure."""
    first = name_execution(mapping, run)
    match = NUMBERED.fullmatch(name)
    return name == first or (match is not None and match["name"] == first)


def read_run(name: str, mapping: str) -> str | None:
    """Return the run that an execution of this name belongs to; None where only its input can tell."""
    prefix = f"{mapping}-"
    if not name.startswith(prefix) or NUMBERED.fullmatch(name):
        return None
    return name.removeprefix(prefix)


def find_run_id(kind: Kind, execution: Execution) -> str:
    """Return the run that an execution, which was described, does: that of its input, or else that of its time."""
    by_start = make_run_id(kind, execution.started_at)
    return str(execution.input.get("run") or (f"{VERIFY}-{by_start}" if execution.input.get("judge") else by_start))


def may_be_started_as(kind: Kind, execution: Execution, run: str) -> bool:
    """Tell whether a schedule may have started an execution as a run: by its time, for its input was not read."""
    by_start = make_run_id(kind, execution.started_at)
    return run in {by_start, f"{VERIFY}-{by_start}"}
