"""Step Functions: shorter Wait states, where what they wait for takes less time than on AWS.

DYNAURORA_WAIT_SCALE multiplies what a Wait state waits, and nothing else (default 1; 0 skips it). A state machine that
looks every minute for the end of an export, which takes minutes on AWS and half a second here, need not sit out the
minute. Retries keep their delays; SFN_WAIT_SCALE, the emulator's own factor, holds for both.
"""

import contextvars
import math
import os
from typing import Any

from ministack.services import stepfunctions

from local.emulator.replacements import Replacements

VARIABLE = "DYNAURORA_WAIT_SCALE"

_factor: contextvars.ContextVar[float] = contextvars.ContextVar("wait_factor", default=1.0)


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour. Raises ValueError for a factor that is none."""
    module = stepfunctions.__name__
    factor = read_factor(os.environ.get(VARIABLE) or "1")
    emulator.wrap(module, "_scaled_sleep", "(seconds)", _scale_sleep)
    emulator.wrap(
        module, "_execute_wait", "(state_def, raw_input, ctx=None)", lambda original: _scale_state(original, factor)
    )


def read_factor(text: str) -> float:
    """Read what the variable is set to."""
    factor = float(text)
    if not math.isfinite(factor) or factor < 0:
        raise ValueError(f"{VARIABLE} must be a number from 0 up, not {text!r}")
    return factor


def _scale_sleep(original: Any) -> Any:
    return lambda seconds: original(seconds * _factor.get())


def _scale_state(original: Any, factor: float) -> Any:
    def execute(*arguments: Any) -> Any:
        token = _factor.set(factor)
        try:
            return original(*arguments)
        finally:
            _factor.reset(token)

    return execute
