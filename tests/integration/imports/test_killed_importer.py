"""An importer killed between any two statements of its work loses nothing and applies nothing twice."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from dynaurora.batches.batch import Batch
from tests.integration.targets import Target, row

pytestmark = pytest.mark.integration

IMPORTER = Path(__file__).with_name("dying_importer.py")
MAX_STATEMENTS = 40


def import_and_die(target: Target, batch: Batch, moment: str) -> "subprocess.CompletedProcess[str]":
    order = {
        "batch": {**asdict(batch), "objects": batch.objects_as_dicts},
        "endpoint": asdict(target.endpoint),
        "credentials": asdict(target.loader),
        "bucket": target.bucket,
    }
    command = [sys.executable, str(IMPORTER), moment, json.dumps(order)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_statement(target: Target, when: str) -> None:
    target.import_rows([row("a", 1, 1), row("b", 9, 9)])
    for number in range(1, MAX_STATEMENTS):
        batch = target.write([row("a", number + 1, number + 1), row("b", 2, 2), row(f"new{number}", 1, 1)])
        before = target.hits()
        died = import_and_die(target, batch, f"{when}:{number}")
        if died.returncode == 0:
            break
        assert died.returncode == -signal.SIGKILL, died.stderr
        after, applied = target.hits(), batch.id in target.ledger()
        assert applied == (f"new{number}" in after), "the ledger and the rows disagree"
        if not applied:
            assert after == before, "a part of the batch was applied"
        again = target.import_batch(batch)
        assert again.status == ("already_applied" if applied else "applied")
        assert (again.rows_staged, again.rows_changed) == (3, 2)
        assert target.hits() == {**before, "a": number + 1, f"new{number}": 1}
    else:
        pytest.fail(f"the import has more than {MAX_STATEMENTS} statements, or never ended")
    assert number > 8, "the importer was killed at fewer statements than an import has"
