"""What the database knows of runs: their rows and the ledger's counts, as the function describe_runs answers."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from backfill.deployment.aws_errors import explain_error
from backfill.deployment.clients import FUNCTION_SECONDS

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

    from backfill.deployment.deployments import Deployment
    from backfill.kinds import Kind

PAUSE_SECONDS: Final = 15.0
"""How long the function is left alone after it failed: a database that is away is not back at once."""

Row = dict[str, Any]


class RowsUnknownError(Exception):
    """The function did not answer; the message says why."""


def describe_runs(functions: LambdaClient, deployment: Deployment, kind: Kind, run: str | None = None) -> list[Row]:
    """Return the row of a run, in a list of one or none, or those of the newest runs of a kind.

    Raises RowsUnknownError.
    """
    name, asked = deployment.describe_runs, {"mapping": deployment.mapping, "run": run, "kind": kind.name}
    try:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(asked).encode())
        document = json.loads(answer["Payload"].read())
    except ReadTimeoutError as error:
        raise RowsUnknownError(f"The function {name} did not answer in {FUNCTION_SECONDS:.0f} s.") from error
    except (BotoCoreError, ClientError) as error:
        raise RowsUnknownError(explain_error(error)) from error
    except ValueError as error:
        raise RowsUnknownError(f"The function {name} did not answer with JSON.") from error
    if answer.get("FunctionError"):
        problem = f"{document.get('errorType')}: {document.get('errorMessage')}"
        raise RowsUnknownError(f"The function {name} failed: {problem}")
    return [row for row in document["runs"] if row["kind"] == kind.name]


class RecordedRun:
    """The row of one run, read again and again; after a failure the last one stands for a while."""

    def __init__(self, functions: LambdaClient, deployment: Deployment, kind: Kind, run: str) -> None:
        self._functions = functions
        self._deployment = deployment
        self._kind = kind
        self._run = run
        self._paused_until = 0.0
        self.row: Row | None = None
        """The row as it was last read; None where there is none, or it was never read."""
        self.problem: str | None = None
        """Why it could not be read the last time."""

    def look(self) -> None:
        """Read the row, unless reading failed a moment ago."""
        if time.monotonic() < self._paused_until:
            return
        try:
            found = describe_runs(self._functions, self._deployment, self._kind, self._run)
        except RowsUnknownError as error:
            self.problem = str(error)
            self._paused_until = time.monotonic() + PAUSE_SECONDS
        else:
            self.row = found[0] if found else None
            self.problem = None
