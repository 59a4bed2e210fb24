"""Everything at once: writers, backfills, reprocesses, deaths, deliveries that repeat, and items that are slow."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from dynaurora import keys
from local.stack import REGION
from tests.drills.drill import Drill
from tests.drills.test_deaths import ANSWER, find_deaths, read_deaths
from tests.drills.writers import Load, writing
from tests.integration.backfill.deployed import MAPPING, Document, make_run_id
from tests.support.factories import click, click_item

LATE_SECONDS = {True: 10.0, False: 30.0}
"""How long after the last write the two may differ, by whether the drill is long; a short one shares its processors."""
BUFFER_SECONDS = 1
"""As the local AWS has it; other drills have none, and an object for nearly every change."""
FAILURES = 2
"""How often a record may fail before it is parked: in the stream, and once more."""
DYING = ("ForwardChanges", "TransformChanges", "ImportBatch", "ConvertExport", "ConvertFailures")
STEPS = (ANSWER, "3", "7", "12")
REPEATS = {"duplicate_invocations": 2, "duplicate_objects": 1, "duplicate_events": 1}
"""What is repeated each second."""


def test_everything_at_once(drill: Drill) -> None:
    load = Load(drill.name, click(), drill.size(500.0, 4000.0), drill.size(2.0, 120.0), 50, drill.size(400, 12_000))
    died = count_deaths(drill)
    with few_failures(drill), delivering_each_second(drill):
        written_at, slow = bear(drill, load)
        late = wait_until_equal(drill, written_at, len(slow))
        check_parked(drill, slow)
    drill.tell(f"equal {late:.1f} s after the last of them")
    drill.tell(f"functions died {count_deaths(drill) - died} times")
    drill.check_equal(unmapped=len(slow))


def bear(drill: Drill, load: Load) -> tuple[float, list[str]]:
    """Have everything at once happen; return when the last change was written, and the pages of the slow items."""
    endpoint_url = drill.deployed.stack.endpoint_url
    with writing(endpoint_url, REGION, drill.deployed.table, load) as writers, disturbing(drill) as slow:
        ends = [run_backfill(drill, load, is_stopped=is_stopped) for is_stopped in (False, True)]
        while not all(writer.done() for writer in writers):
            drill.reprocess()
            time.sleep(drill.size(1, 20))
    written = [writer.result() for writer in writers]
    ended_at, changes = max(one.ended_at for one in written), sum(one.changes for one in written)
    rate = sum(one.rate for one in written)
    drill.tell(
        f"{len(written)} writers wrote {changes:,} changes, {rate:,.0f} a second where {load.rate:,.0f} were wanted"
    )
    for run in ends:
        assert drill.deployed.watch(run)["state"] == "SUCCEEDED"
    drill.tell(f"{len(ends)} backfills ran meanwhile, one of which was stopped and went on")
    return ended_at, slow


def run_backfill(drill: Drill, load: Load, *, is_stopped: bool) -> str:
    """Start a backfill, and return its run; one that is stopped is started again."""
    run = make_run_id()
    execution = drill.deployed.start(run)["execution"]
    if is_stopped:
        drill.wait_until(lambda: "Plan backfill" in drill.deployed.entered(execution))
        stopped = drill.deployed.ask("stop", run)
        assert stopped["state"] in {"STOPPED", "SUCCEEDED"}
        drill.deployed.start(run)
    return run


@contextmanager
def disturbing(drill: Drill) -> Iterator[list[str]]:
    """Each second put a slow item, have a function die and deliveries repeat; yields the pages of the items."""
    slow, ending = list[str](), Event()

    def disturb() -> None:
        for second, function, step in zip(itertools.count(), itertools.cycle(DYING), itertools.cycle(STEPS)):
            page = f"{drill.name}-slow-{second:03}"
            drill.deployed.put([make_slow_item(page)])
            slow.append(page)
            find_deaths(drill, function).write_text(f"{step}\n")  # in the place of one that nobody died of
            drill.deployed.set_faults(**REPEATS)
            if ending.wait(1):
                return

    thread = Thread(target=disturb)
    thread.start()
    try:
        yield slow
    finally:
        ending.set()
        thread.join()
        for function in DYING:
            find_deaths(drill, function).unlink(missing_ok=True)  # none of a function that was due in no second
        drill.deployed.set_faults(**dict.fromkeys(REPEATS, 0))
    drill.tell(f"a slow item, a death and {sum(REPEATS.values())} deliveries that repeat each second")


def make_slow_item(page_id: str) -> Document:
    """Return an item that costs more than a record may: its mapping refuses it by a bound, and knows that at once."""
    location = {"latitude": "52.5", "longitude": "13.4", "country": "@." * 10_000}
    device = {"make": "Firefox", "platform": {"name": "linux", "version": "6.1"}, "location": location}
    return click_item(click(device=device), page_id)


def wait_until_equal(drill: Drill, written_at: float, slow: int) -> float:
    """Return how many seconds after the last write the two are equal, but for items that are refused."""
    drill.wait_until(lambda: (found := drill.deployed.compare()).agrees and found.failed == slow)
    late = time.time() - written_at
    assert late < LATE_SECONDS[drill.is_long]
    return late


def check_parked(drill: Drill, slow: list[str]) -> None:
    """Take up what failed, until all of that is parked; assert that nothing else is, and nothing else failed."""
    drill.wait_until_imported()
    drill.wait_until(lambda: drill.reprocess() and not drill.count_failed_records())
    failures = drill.reprocesses.list_failures()
    assert all(key.startswith(keys.parked_prefix(MAPPING)) for key in failures)
    records = [record for key in failures for record in drill.reprocesses.read_records(key)]
    pages = {json.loads(record.data)["Keys"]["page_id"]["S"] for record in records}
    assert pages == set(slow), "of the stream, and of the exports that it is in"
    drill.tell(f"nothing is parked but the {len(slow)} slow ones", about="failures")


@contextmanager
def few_failures(drill: Drill) -> Iterator[None]:
    """Have records be parked sooner than usual."""
    with drill.deployed.variables("ConvertFailuresFunctionName", MAX_ATTEMPTS=str(FAILURES)):
        yield


@contextmanager
def delivering_each_second(drill: Drill) -> Iterator[None]:
    """Have Firehose collect changes for a second, twice, as it does for longer on AWS."""
    set_buffers(drill, BUFFER_SECONDS)
    try:
        yield
    finally:
        set_buffers(drill, 0)


def set_buffers(drill: Drill, seconds: int) -> None:
    firehose, name = drill.deployed.client("firehose"), drill.deployed.outputs["DeliveryStreamName"]
    described = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    (destination,) = described["Destinations"]
    settings = destination["ExtendedS3DestinationDescription"]
    for parameter in settings["ProcessingConfiguration"]["Processors"][0]["Parameters"]:
        if parameter["ParameterName"] == "BufferIntervalInSeconds":
            parameter["ParameterValue"] = str(seconds)
    hints = settings["BufferingHints"] | {
        "IntervalInSeconds": seconds,
        "SizeInMBs": int(settings["BufferingHints"]["SizeInMBs"]),
    }
    firehose.update_destination(
        DeliveryStreamName=name,
        CurrentDeliveryStreamVersionId=described["VersionId"],
        DestinationId=destination["DestinationId"],
        ExtendedS3DestinationUpdate={
            "BufferingHints": hints,
            "ProcessingConfiguration": settings["ProcessingConfiguration"],
        },
    )


def count_deaths(drill: Drill) -> int:
    """How often the functions have died so far."""
    return sum(len(read_deaths(drill, function)) for function in DYING)
