"""Which tests one process of several takes together: those of a file, or of a folder whose tests share a deployment.

Their databases wait for no disk.
"""

import os
from pathlib import PurePath
from typing import Any

import pytest

from local.aurora.engine import UNSYNCED_VARIABLE

os.environ.setdefault(UNSYNCED_VARIABLE, "1")

SHARING = {
    PurePath("tests/drills"),
    PurePath("tests/integration/backfill"),
    PurePath("tests/integration/monitoring"),
    PurePath("tests/integration/reprocess"),
}
"""Folders of which each makes a deployment, which takes ten seconds of a processor: two processes would make two."""


def name_scope(nodeid: str) -> str:
    """Return what the tests that are taken together have in common."""
    file = nodeid.partition("::")[0]
    folder = PurePath(file).parent
    return str(folder) if folder in SHARING else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling  # here, since tests run without xdist too

    class FolderScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return name_scope(nodeid)

    return FolderScheduling(config, log)
