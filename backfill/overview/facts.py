"""What the database knows of replications, as the function describe_runs sums it up for some of them at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from backfill.deployment.aws_errors import explain_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_lambda import LambdaClient

    from backfill.deployment.deployments import Deployment

SUMMED_UP: Final = 25
"""Replications of one call, which takes a second or two: a hundred take four. Small accounts may run ten at once."""
ANSWER_SECONDS: Final = 40.0
"""How long it is waited for: a database that has paused takes half a minute to come back."""

Facts = dict[str, Any]
"""A summary as describe_runs answers it; `{"error": …}` where it is not known."""


def group_by_function(deployments: Iterable[Deployment]) -> Iterator[list[Deployment]]:
    """Yield the deployments that are asked of together: of one platform, and not too many."""
    of_function: dict[str, list[Deployment]] = {}
    for one in deployments:
        of_function.setdefault(one.describe_runs, []).append(one)
    for some in of_function.values():
        yield from (some[start : start + SUMMED_UP] for start in range(0, len(some), SUMMED_UP))


def read_facts(functions: LambdaClient, deployments: Sequence[Deployment]) -> dict[str, Facts]:
    """Return what the database knows of replications of one platform, by their stacks."""
    name = deployments[0].describe_runs
    names = [one.mapping for one in deployments]
    try:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps({"mappings": names}).encode())
        document = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            known = _all_failed(names, _explain_failure(name, document))
        else:
            known = document["replications"]
    except ReadTimeoutError:
        known = _all_failed(names, f"The function {name} did not answer in {ANSWER_SECONDS:.0f} s.")
    except (BotoCoreError, ClientError) as error:
        known = _all_failed(names, explain_error(error))
    except (KeyError, TypeError, ValueError):
        known = _all_failed(names, f"The function {name} did not answer as it should.")
    return {one.stack: known.get(one.mapping) or {"error": f"{name} says nothing of it."} for one in deployments}


def _all_failed(names: Iterable[str], problem: str) -> dict[str, Facts]:
    return {name: {"error": problem} for name in names}


def _explain_failure(name: str, document: dict[str, Any]) -> str:
    """Return why a function failed; one of a release before this does not know what it is asked."""
    problem = f"{document.get('errorType')}: {document.get('errorMessage')}"
    if document.get("errorType") == "KeyError":
        return f"The platform is of a release whose function {name} cannot sum up: deploy it with `dynaurora deploy`."
    return f"The function {name} failed: {problem}"
