"""An importer killed between any two statements of its work loses nothing and applies nothing twice."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pytest

from dynaurora.batches.batch import Batch
from tests.integration.targets import Target, row
from tests.reader import PROJECT

pytestmark = pytest.mark.integration

IMPORTER = "tests.integration.imports.dying_importer"
MAX_STATEMENTS = 40


@dataclass(frozen=True)
class DyingImporter:
    """A process that has others import and die."""

    process: "subprocess.Popen[str]"

    def import_and_die(self, target: Target, batch: Batch, moment: str) -> int:
        """Return the exit status of the process that imported, as `subprocess` has it."""
        order = {
            "moment": moment,
            "batch": {**asdict(batch), "objects": batch.objects_as_dicts},
            "endpoint": asdict(target.endpoint),
            "credentials": asdict(target.loader),
            "bucket": target.bucket,
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{json.dumps(order)}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture
def importer(target: Target) -> Iterator[DyingImporter]:
    command = [sys.executable, "-m", IMPORTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        yield DyingImporter(process)
        process.communicate(timeout=60)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_statement(target: Target, importer: DyingImporter, when: str) -> None:
    target.import_rows([row("a", 1, 1), row("b", 9, 9)])
    for number in range(1, MAX_STATEMENTS):
        batch = target.write([row("a", number + 1, number + 1), row("b", 2, 2), row(f"new{number}", 1, 1)])
        before = target.hits()
        status = importer.import_and_die(target, batch, f"{when}:{number}")
        if status == 0:
            break
        assert status == -signal.SIGKILL
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
