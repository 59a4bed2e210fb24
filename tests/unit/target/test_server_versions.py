"""Which versions of Aurora MySQL can be adopted: by the code, and by docs/deploy.md."""

import re
from pathlib import Path

import pytest

from dynaurora.errors import TargetMismatchError
from dynaurora.target.check_target import SUPPORTED, check_version, read_aurora_version

PAGE = (Path(__file__).parents[3] / "docs" / "deploy.md").read_text("utf-8")
ROW = re.compile(r"^\| Aurora MySQL (?P<version>[\d.]+)(?P<later> and later)?[^|]*\| (?P<answer>yes|no)", re.MULTILINE)


class Server:
    """A server that has these variables."""

    def __init__(self, **variables):
        self._variables = variables

    def query(self, statement):
        assert "LIKE 'aurora\\_version'" in statement
        return list(self._variables.items())


def test_the_version_is_auroras_own():
    assert read_aurora_version(Server(aurora_version="3.10.6")) == "3.10.6"
    assert read_aurora_version(Server()) is None


@pytest.mark.parametrize("version", ["3.05.0", "3.05.2", "3.10.6", "3.12.0", "8.4.7", "8.4.10", None])
def test_a_version_that_works(version):
    check_version(version)


@pytest.mark.parametrize("version", ["2.12.6", "3.04.4", "3.01.0", "8.0.1", "9.1.0"])
def test_a_version_that_does_not_is_named(version):
    with pytest.raises(TargetMismatchError, match=f"The cluster is Aurora MySQL {version}"):
        check_version(version)


def test_the_documented_table_says_the_same():
    rows = [found.groupdict() for found in ROW.finditer(PAGE)]
    assert len(rows) == 4
    for row in rows:
        works = any(
            tuple(map(int, row["version"].split(".")[:2])) >= first
            for first in SUPPORTED
            if first[0] == int(row["version"].split(".")[0])
        )
        assert works == (row["answer"] == "yes"), row
        assert bool(row["later"]) == works
