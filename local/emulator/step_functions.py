"""Step Functions: retries and Lambda errors as AWS has them.

- A retrier's MaxDelaySeconds caps its delay and JitterStrategy FULL draws it at random between 0 and that; the
  emulator ignores both and never waits longer than 60 s.
- A throttled Lambda task fails with ``Lambda.TooManyRequestsException``, not with ``Lambda.Unknown``.
- ``States.ALL`` does not match ``States.Runtime`` and ``States.DataLimitExceeded``: those end an execution.

Source: Step Functions developer guide, "Handling errors in Step Functions workflows". The factor for all waiting that
tests set through the emulator (``stepfunctions._SFN_WAIT_SCALE``) holds for these delays too.
"""

import json
import random
import uuid
from typing import Any

from ministack.services import stepfunctions

from local.emulator.replacements import Replacements

EMULATOR_LONGEST_DELAY = 60.0
"""The emulator waits at most this long itself; what is beyond is waited here, before it."""

TERMINAL_ERRORS = frozenset({"States.DataLimitExceeded", "States.Runtime"})
"""Errors that States.ALL does not match."""

DEFAULT_MAXIMUM_ATTEMPTS = 3
_random = random.SystemRandom()


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = stepfunctions.__name__
    emulator.require(module, "_scaled_sleep", "(seconds)")
    emulator.replace(module, "_error_matches", "(error_equals, error)", matches_error)
    emulator.replace(module, "_find_matching_retrier", "(retriers, error, retry_counts)", find_retrier)
    emulator.wrap(module, "_call_lambda", "(func_ref, event)", _name_throttling)


def matches_error(error_equals: list[str], error: str) -> bool:
    """Whether a retrier or catcher for ``error_equals`` is for this error."""
    if error in error_equals:
        return True
    if error in TERMINAL_ERRORS:
        return False
    return "States.ALL" in error_equals or ("States.TaskFailed" in error_equals and error != "States.Timeout")


def find_retrier(
    retriers: list[dict[str, Any]], error: str, retry_counts: dict[int, int]
) -> tuple[dict[str, Any] | None, int]:
    """Return the first retrier for the error and its index, unless its attempts are used up.

    The emulator computes the delay from the retrier and then waits; it is handed one whose interval is the whole delay.
    """
    for index, retrier in enumerate(retriers):
        if matches_error(retrier.get("ErrorEquals", []), error):
            if retry_counts.get(index, 0) >= retrier.get("MaxAttempts", DEFAULT_MAXIMUM_ATTEMPTS):
                return None, -1
            delay = compute_delay(retrier, retry_counts.get(index, 0))
            if delay > EMULATOR_LONGEST_DELAY:
                stepfunctions._scaled_sleep(delay - EMULATOR_LONGEST_DELAY)
            return {**retrier, "IntervalSeconds": min(delay, EMULATOR_LONGEST_DELAY), "BackoffRate": 1.0}, index
    return None, -1


def compute_delay(retrier: dict[str, Any], retried: int) -> float:
    """Seconds to wait before the next attempt, after ``retried`` retries by the same retrier."""
    delay = float(retrier.get("IntervalSeconds", 1)) * float(retrier.get("BackoffRate", 2.0)) ** retried
    delay = min(delay, float(retrier.get("MaxDelaySeconds", delay)))
    return _random.uniform(0.0, delay) if retrier.get("JitterStrategy") == "FULL" else delay


def _name_throttling(original: Any) -> Any:
    def call_lambda(func_ref: str, event: Any) -> Any:
        try:
            return original(func_ref, event)
        except stepfunctions._ExecutionError as error:
            if error.error == "Lambda.Unknown" and "TooManyRequestsException" in str(error.cause):
                reason = json.loads(error.cause).get("Reason", "")
                raise stepfunctions._ExecutionError(
                    "Lambda.TooManyRequestsException",
                    f"Rate Exceeded. (Service: Lambda, Status Code: 429, Request ID: {uuid.uuid4()}) {reason}".strip(),
                ) from error
            raise

    return call_lambda
