"""Which tests one process of several takes together, and in which order.

Those of a file are taken together, or those of a folder whose tests share a deployment. Long ones begin first, so that
no process is left alone with one in the end. The databases of all of them wait for no disk. What the AWS SDK knows of
services is read once: each of its sessions would read megabytes of JSON anew. What commands print is not folded.
Garbage is not looked for among tests and what they import, which are there until the end.
"""

import gc
import os
from typing import Any, ClassVar

import pytest
from botocore.loaders import JSONFileLoader, Loader

from local.aurora.engine import UNSYNCED_VARIABLE

os.environ.setdefault(UNSYNCED_VARIABLE, "1")
os.environ.pop("COLUMNS", None)  # readline, which pytest imports, leaves it to its processes
gc.disable()  # until tests are collected


class KeptFiles(JSONFileLoader):
    """Reads each file once. Who gets what it says does not change it: a session shares it among its clients, too."""

    kept: ClassVar[dict[str, Any]] = {}

    def load_file(self, file_path: str) -> Any:
        if file_path not in self.kept:
            self.kept[file_path] = super().load_file(file_path)
        return self.kept[file_path]


Loader.FILE_LOADER_CLASS = KeptFiles

SHARING = {
    "tests/drills",
    "tests/integration/backfill",
    "tests/integration/monitoring",
    "tests/integration/reprocess",
}
"""Folders of which each makes a deployment, which takes ten seconds of a processor: two processes would make two."""

LONGEST_FIRST = ("e2e", "drills", "integration", "workflows", "security")
"""The folders whose files take longest, in the order in which they begin; then come all others, of seconds each."""


MARKS = {"e2e": pytest.mark.e2e, "drills": pytest.mark.integration}
"""Of all tests of a folder."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(item.nodeid))
    for item in items:
        if mark := MARKS.get(name_folder(item.nodeid)):
            item.add_marker(mark)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def name_folder(nodeid: str) -> str:
    """Return the folder of tests/ that a test is in."""
    return nodeid.split("/", 2)[1]


def rank(nodeid: str) -> int:
    """Return the place of a test's folder in the order; tests of the same folder stay in theirs."""
    folder = name_folder(nodeid)
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


def name_scope(nodeid: str) -> str:
    """Return what the tests that are taken together have in common."""
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    return folder if folder in SHARING else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling  # here, since tests run without xdist too

    class FolderScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return name_scope(nodeid)

    return FolderScheduling(config, log)
