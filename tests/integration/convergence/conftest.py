"""place    the database and a bucket of their own for the histories"""

from collections.abc import Iterator

import pytest

from dynaurora.aws import sdk
from local.stack import Stack
from tests.integration.convergence.cohorts import Place
from tests.integration.convergence.stacks import aws_settings, make_place


@pytest.fixture
def place(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name, value in aws_settings(stack).items():
        monkeypatch.setenv(name, value)
    sdk.forget_clients()
    yield make_place(stack)
    sdk.forget_clients()
