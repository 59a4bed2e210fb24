"""Functions and connections that end in the middle of a batch: the run goes on by its retries, and nothing is twice."""

import os
import random
import signal
from collections.abc import Iterator

import pytest

from tests.integration.backfill.deployed import Deployed, make_item, make_items
from tests.integration.backfill.slow_lines import SlowLine, slow_line
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

HALF_A_FILE = 100_000


@pytest.fixture
def line(deployed: Deployed) -> Iterator[SlowLine]:
    """The line over which convert_export reads and writes; it stalls in the middle of the data file."""
    numbers = random.Random(1)
    noise = [{**make_item(f"page-{number}"), "noise": {"S": numbers.randbytes(2000).hex()}} for number in range(100)]
    deployed.put(noise)  # hexadecimal digits: gzip halves them, to two kilobytes an item
    with (
        slow_line(deployed.stack.endpoint_url, HALF_A_FILE) as line,
        deployed.variables("ConvertExportFunctionName", AWS_ENDPOINT_URL_S3=line.endpoint_url),
    ):
        yield line


def kill_function(deployed: Deployed, output: str) -> None:
    """Kill a function, in each of its environments: tests before may have left some that wait."""
    processes = deployed.find_processes(output)
    assert processes
    for process in processes:
        os.kill(process, signal.SIGKILL)


def check_whole(deployed: Deployed, run: str, items: int) -> None:
    totals = deployed.report(run)["totals"]
    assert (totals["exported"], totals["imported"], totals["unaccounted"]) == (items, items, 0)
    assert deployed.row(run)["state"] == "SUCCEEDED"
    assert deployed.failed_batches(run) == []
    assert deployed.messages() == {}
    comparison = deployed.compare()
    assert (comparison.agrees, comparison.identical) == (True, items)


def test_convert_export_is_killed_while_it_reads(deployed: Deployed, run: str, line: SlowLine) -> None:
    export = deployed.export(f"exports/of={run}")
    export.split(1)
    deployed.plan_ahead(run, export)
    deployed.start(run)
    assert line.stalled.wait(30)
    assert deployed.list_keys(f"batches/run=web_analytics-{run}/batch-") == []
    kill_function(deployed, "ConvertExportFunctionName")
    line.release()
    deployed.watch(run)
    check_whole(deployed, run, items=100)
    assert len(deployed.ledger(run)) == 1


def test_s3_breaks_off_while_convert_export_reads(deployed: Deployed, run: str, line: SlowLine) -> None:
    export = deployed.export(f"exports/of={run}")
    export.split(1)
    deployed.plan_ahead(run, export)
    deployed.start(run)
    assert line.stalled.wait(30)
    line.cut()
    deployed.watch(run)
    check_whole(deployed, run, items=100)


def test_import_batch_is_killed_while_it_merges(deployed: Deployed, run: str) -> None:
    items = make_items(6)
    deployed.plan_batches(run, items, 3)
    with deployed.lock_key(items[2]["page_id"]["S"]):
        deployed.start(run, "--max-concurrency", "1")
        deployed.wait_until_locked_out()
        before = deployed.ledger(run)
        assert len(before) == 1
        kill_function(deployed, "ImportBatchFunctionName")
    view = deployed.watch(run)
    check_whole(deployed, run, items=6)
    assert view["retries"] == deployed.retries(run) == 1
    assert deployed.report(run)["retry_causes"] == []  # nobody was left to note one
    assert len(deployed.ledger(run)) == 3
    assert before[0] in deployed.ledger(run)


def test_the_database_fails_and_comes_back_while_batches_are_imported(deployed: Deployed, run: str) -> None:
    items = make_items(6)
    deployed.plan_batches(run, items, 3)
    with deployed.lock_key(items[2]["page_id"]["S"]):
        deployed.start(run, "--max-concurrency", "1")
        deployed.wait_until_locked_out()
        before = deployed.ledger(run)
        deployed.stack.server.kill()
    try:
        retrying = wait_until(lambda: deployed.ask("status", run)["retrying"])
    finally:
        deployed.stack.server.start()
    assert {entry["error"] for entry in retrying} <= {"ConnectionLostError", "DatabaseUnavailableError"}
    view = deployed.watch(run)
    check_whole(deployed, run, items=6)
    assert view["retries"] == deployed.retries(run) > 0
    causes = deployed.report(run)["retry_causes"]
    assert {cause["error"] for cause in causes} >= {entry["error"] for entry in retrying}
    assert sum(cause["times"] for cause in causes) == view["retries"]
    assert before[0] in deployed.ledger(run)
    assert len(deployed.ledger(run)) == 3
