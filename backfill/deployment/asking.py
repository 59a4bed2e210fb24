"""Asking the platform's functions: one step at a time, and again where what went wrong passes by itself."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.aws_errors import is_passing, tell_caller
from dynaurora import errors
from dynaurora.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient

ASKED: Final = 6
"""Times at most; the pauses double from a second on."""
PASSING: Final = frozenset(
    name for name, error in vars(errors).items() if isinstance(error, type) and issubclass(error, RetryableError)
)
"""What passes by itself, as the functions name it."""


def ask_function(
    functions: LambdaClient, name: str, document: dict[str, Any], sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Return what a function answers. Raises ClickException where it fails, or what passes by itself does not."""
    problem = ""
    for attempt in range(ASKED):
        try:
            answer = functions.invoke(FunctionName=name, Payload=json.dumps(document).encode())
            said = json.loads(answer["Payload"].read())
        except (BotoCoreError, ClientError) as error:
            if attempt == ASKED - 1 or not is_passing(error):
                raise
        else:
            if not answer.get("FunctionError"):
                return dict(said)
            problem = f"{said.get('errorType')}: {said.get('errorMessage')}"
            if said.get("errorType") not in PASSING:
                break
        sleep(2**attempt)
    raise click.ClickException(tell_caller(f"The function {name} failed: {problem}"))
