"""The tutorial, typed as it is written, in a folder that is no clone."""

import os
from pathlib import Path

from local.aurora.engine import UNPACKED_VARIABLE, UNSYNCED_VARIABLE
from local.aurora.engines import ENGINE_VARIABLE
from tests.e2e.conftest import DYNAURORA, LocalAws
from tests.reader import Reader


def test_three_tables_of_ones_own(tmp_path: Path) -> None:
    engine = {
        name: os.environ[name] for name in (ENGINE_VARIABLE, UNPACKED_VARIABLE, UNSYNCED_VARIABLE) if name in os.environ
    }
    reader = Reader(tmp_path, tmp_path / "exported", {"LC_ALL": "C.UTF-8", **engine}, (DYNAURORA.parent,))
    aws = LocalAws(tmp_path / "shop" / ".local")
    try:
        with reader.follow("docs/tutorial.md") as walk:
            walk.through("Stop")
    finally:
        aws.run("down", DYNAURORA_PROJECT=str(tmp_path / "shop"))
    assert aws.processes() == {}
