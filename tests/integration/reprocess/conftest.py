"""A deployed stack for all tests of this folder, with nothing kept as failed when a test begins.

reprocesses   the `Reprocesses` of the stack, whose stream is on and delivers nothing while a test lasts
streaming     the same, with a stream that is delivered at once
"""

from collections.abc import Iterator

import pytest

from tests.integration.backfill.conftest import deployed, deployment_of_session, flowing, flowing_stream, run, sessions
from tests.integration.backfill.deployed import Deployed
from tests.integration.reprocess.reprocesses import Reprocesses

__all__ = ["deployed", "deployment_of_session", "flowing", "flowing_stream", "run", "sessions"]


@pytest.fixture
def reprocesses(deployed: Deployed) -> Reprocesses:
    found = Reprocesses(deployed)
    found.forget_failures()
    return found


@pytest.fixture
def streaming(flowing: Deployed) -> Iterator[Reprocesses]:
    found = Reprocesses(flowing)
    found.forget_failures()
    yield found
    found.wait_until_imported()
