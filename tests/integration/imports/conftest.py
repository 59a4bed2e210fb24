"""Imports of batches that are staged in either way, and by variants of Aurora.

staging  how `target_for` has batches staged: as a target is that was only prepared, or in permanent tables
variant  what makes a `Target` whose database is another variant of Aurora
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dynaurora.aurora.staging import Staging
from local.aurora.gateway import Gateway
from local.aurora.variant import Variant
from local.stack import Stack
from tests.integration.targets import Target

TEMPORARY, PERMANENT = "temporary", "permanent"
LOADING = {
    *("test_import_batch", "test_cut_imports", "test_database_faults", "test_column_types", "test_variants"),
    *("test_batch_parts", "test_refused_imports", "test_several_targets"),
}
"""Of these modules, each test is one for each way."""
VariantOf = Callable[[Target, Variant], Target]


@pytest.fixture
def staging(request: pytest.FixtureRequest) -> Staging | None:
    return Staging(5) if getattr(request, "param", TEMPORARY) == PERMANENT else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have the tests of whatever is loaded pass in both ways."""
    if metafunc.module.__name__.rpartition(".")[2] in LOADING and "staging" in metafunc.fixturenames:
        metafunc.parametrize("staging", [TEMPORARY, PERMANENT], indirect=True)


@pytest.fixture
def variant_of(stack: Stack) -> Iterator[VariantOf]:
    """Make a target's double behind a gateway of its own, which lives as long as the test."""
    with ExitStack() as gateways:

        def make(target: Target, variant: Variant) -> Target:
            gateway = Gateway(
                server_socket=stack.server.socket,
                files=stack.server.files,
                certificates=stack.certificates,
                s3_endpoint_url=stack.endpoint_url,
                variant=variant,
            )
            gateways.enter_context(gateway)
            return dataclasses.replace(target, endpoint=dataclasses.replace(target.endpoint, port=gateway.port))

        yield make
