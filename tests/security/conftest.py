"""The real database and a deployed stack, for tests that attack them."""

from tests.integration.conftest import *  # noqa: F403  # its fixtures
from tests.integration.reprocess.conftest import *  # noqa: F403  # the same
