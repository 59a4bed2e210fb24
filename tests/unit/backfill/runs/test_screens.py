"""What is seen of a run, on a terminal of its own and where nobody looks."""

import subprocess
import sys

import pytest

from tests.support.terminals import run_on_terminal

PROGRAM = """
import time
from backfill.runs.progress import Batches, Rows
from backfill.runs.screens import choose_screen
from tests.support.backfill_factories import make_view

steps = [
    {"phase": "checking readiness"},
    {"phase": "exporting", "phases": {"checking readiness": 1.0, "exporting": 74.0}},
    {
        "phases": {"checking readiness": 1.0, "exporting": 74.0, "planning": 1.0, "importing": 2.0},
        "plan": {"items": 12, "files": 4, "files_empty": 3, "batches": 1},
        "batches": Batches(planned=1, imported=0, running=1, failed=0, stopped=0),
        "rows": Rows(0, 0, 0),
        "notes": ["the function that tells of rows does not answer: " + 8 * "it says a long text "],
    },
]
with choose_screen(as_json=False) as screen:
    for step in steps:
        screen.show(make_view(**step))
        time.sleep(0.6)
"""


@pytest.mark.parametrize("columns", [80, 100])
def test_a_run_of_one_batch_is_seen_to_go_on_through_its_phases(columns):
    seen = run_on_terminal([sys.executable, "-c", PROGRAM], columns, NO_COLOR="1")
    text = "\n".join(seen.lines)
    for told in ("checking readiness, running for", "exporting, running for", "0 of 1 imported, 1 running, 0 failed"):
        assert told in text
    assert "Ctrl-C leaves; the run goes on." in text
    assert max(map(len, seen.lines)) <= columns
    assert not seen.is_colored


def test_where_nobody_looks_each_phase_is_a_line():
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert answer.stdout == ""
    assert "\x1b" not in answer.stderr
    first, exporting, importing = answer.stderr.splitlines()
    assert first == "checking readiness"
    assert exporting == "exporting for 1 min 14 s"
    assert importing.startswith("importing; batches 0 of 1 imported, 1 running, 0 failed; ")
