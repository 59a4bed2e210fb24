"""How many examples the fuzzers try: few, so that all tests stay quick, or `EXAMPLES=5000 pytest …`."""

import os

from hypothesis import HealthCheck, settings


def examples(count: int) -> settings:
    """Return the settings of a test that tries so many by itself, however long each takes."""
    wanted = int(os.environ.get("EXAMPLES", count))
    return settings(max_examples=wanted, deadline=None, suppress_health_check=list(HealthCheck))
