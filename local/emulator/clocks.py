"""Functions whose clock is off, on demand; part of ``function_process``.

A function's own variable DYNAURORA_CLOCK_SECONDS says by how much: 3600 is an hour ahead, -3600 one behind. It holds
for ``time.time``, ``time.time_ns`` and what ``datetime`` says of now, so for what requests are signed by. AWS refuses
those that are signed by a clock five or fifteen minutes off, and so does the emulator where it knows of users (AUTH).
Monotonic clocks run on as they are.

Standard library only: it is loaded by path, from beside ``function_process``.
"""

import datetime as dt
import time
from typing import Any

VARIABLE = "DYNAURORA_CLOCK_SECONDS"


class _Kind(type):
    """Takes every time for an instance of the class that stands for ``datetime``."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _REAL)


_REAL = dt.datetime


def set_off(seconds: float) -> None:
    """Have this process's clock be off by so many seconds. Whatever is imported from now on knows no other."""
    off, now, now_ns = dt.timedelta(seconds=seconds), time.time, time.time_ns

    class Moved(_REAL, metaclass=_Kind):
        """A ``datetime`` whose now is another."""

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return _REAL.now(tz) + off

        @classmethod
        def utcnow(cls) -> Any:
            return _REAL.utcnow() + off

    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)
    dt.datetime = Moved  # type: ignore[misc]
