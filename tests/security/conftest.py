"""The real database, for tests that attack it."""

from tests.integration.conftest import *  # noqa: F403  # its fixtures
