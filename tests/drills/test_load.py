"""Everything at once: writers, backfills, reprocesses, deaths, deliveries that repeat, and items that are slow.

The mapping has a pattern that RE2 does not take, as one may that was deployed before such were refused: all is mapped
in a sandbox. LOAD_SECONDS and LOAD_RATE (changes a second) have the writers write for less long, or less.
"""

import itertools
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event, Thread

from dynaurora import keys
from dynaurora.exports.check_readiness import SETTLED_SECONDS
from dynaurora.mappings.mapping import Mapping, build_mapping
from local.stack import REGION
from tests.drills.drill import Drill
from tests.drills.test_deaths import ANSWER, find_deaths, read_deaths
from tests.drills.test_mappings import deployed_mapping
from tests.drills.writers import Load, writing
from tests.integration.backfill.deployed import MAPPING, Document, make_run_id
from tests.support.factories import click, click_item

LATE_SECONDS = 10.0
"""How long after the last write of a long drill the two may differ; a short one shares its processors."""
FAILURES = 2
"""How often a record may fail before it is parked: in the stream, and once more."""
DYING = ("ForwardChanges", "TransformChanges", "ImportBatch", "ConvertExport", "ConvertFailures")
STEPS = (ANSWER, "3", "7", "12")
TOLERANT = ("--tolerated-rejected-percentage", "100")
"""In the short drill the slow items are most of what there is at first."""
REPEATS = {"duplicate_invocations": 2, "duplicate_objects": 1, "duplicate_events": 1}
DISTURBED_EACH = 5
"""After how many seconds a function dies, and so much is repeated."""
UNBOUNDED = r"^(?!(\w+\s?)*!$)"
"""Of a make: no shouting. It takes twice as long for each letter more of a text that has only letters."""
BOUNDED = "^.{0,39}$"
"""Refuses the make that the other one takes too long for, at once."""
DEVICE = click()["device"]
SLOW = {
    "time": DEVICE | {"make": "x" * 40},
    "length": DEVICE | {"location": DEVICE["location"] | {"country": "@." * 10_000}},
}
"""Devices that cost more than a record may, by the rule that refuses them: once its time is over, or at once."""


def test_everything_at_once(drill: Drill) -> None:
    seconds = float(os.environ.get("LOAD_SECONDS", drill.size(2, 120)))
    rate = float(os.environ.get("LOAD_RATE", drill.size(500, 4000)))
    load = Load(drill.name, click(), rate, seconds, 50, drill.size(400, 12_000))
    judge = build_mapping(MAPPING, with_pattern(json.loads(drill.deployed.mapping.text), BOUNDED))
    died = count_deaths(drill)
    with deployed_mapping(drill, lambda document: with_pattern(document, UNBOUNDED)):
        drill.deployed.set_faults(age_mappings_seconds=SETTLED_SECONDS)
        with few_failures(drill), drill.delivering_each_second(), reprocessing(drill):
            slow, runs = bear(drill, load)
            late = wait_until_equal(drill, judge, time.time(), len(slow))
            for run in runs:
                assert drill.deployed.watch(run)["state"] == "SUCCEEDED"
        with few_failures(drill):
            check_parked(drill, slow)
        drill.tell(f"equal {late:.1f} s after the last of them")
        drill.tell(f"functions died {count_deaths(drill) - died} times")
        drill.check_equal(unmapped=len(slow), mapping=judge)
    drill.deployed.forget_mappings()


def with_pattern(document: Document, pattern: str) -> Document:
    """Return a mapping's document that has a pattern for the make of a device."""
    document["schema"]["properties"]["payload"]["properties"]["device"]["properties"]["make"]["pattern"] = pattern
    return document


def bear(drill: Drill, load: Load) -> tuple[dict[str, str], list[str]]:
    """Have everything at once happen until the last write; return the rules by slow page, and the backfills."""
    endpoint_url = drill.deployed.stack.endpoint_url
    with writing(endpoint_url, REGION, drill.deployed.table, load) as writers, disturbing(drill) as slow:
        runs = [run_backfill(drill, is_stopped=is_stopped) for is_stopped in (False, True)]
        wait(writers)
    written = [writer.result() for writer in writers]
    changes, rate = sum(one.changes for one in written), sum(one.rate for one in written)
    drill.tell(
        f"{len(written)} writers wrote {changes:,} changes, {rate:,.0f} a second where {load.rate:,.0f} were wanted"
    )
    drill.tell(f"{len(runs)} backfills ran meanwhile, one of which was stopped and went on")
    return slow, runs


def run_backfill(drill: Drill, *, is_stopped: bool) -> str:
    """Start a backfill, and return its run; one that is stopped is started again."""
    run = make_run_id()
    execution = drill.deployed.start(run, *TOLERANT)["execution"]
    if is_stopped:
        drill.wait_until(lambda: "Plan backfill" in drill.deployed.entered(execution))
        stopped = drill.deployed.ask("stop", run)
        assert stopped["state"] in {"STOPPED", "SUCCEEDED"}
        drill.deployed.start(run, *TOLERANT)
    return run


@contextmanager
def reprocessing(drill: Drill) -> Iterator[None]:
    """Take up what failed, again and again."""
    ending = Event()

    def reprocess() -> None:
        while not ending.wait(drill.size(1, 20)):
            drill.reprocess()

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(reprocess)
        try:
            yield
        finally:
            ending.set()
        done.result()


@contextmanager
def disturbing(drill: Drill) -> Iterator[dict[str, str]]:
    """Each second put a slow item, at times have functions die and deliveries repeat; yields the rules by slow page."""
    slow, ending, deaths = dict[str, str](), Event(), zip(itertools.cycle(DYING), itertools.cycle(STEPS))

    def disturb() -> None:
        for second, rule in zip(range(drill.size(4, 3600)), itertools.cycle(SLOW)):
            page = f"{drill.name}-slow-{second:03}"
            drill.deployed.put([click_item(click(device=SLOW[rule]), page)])
            slow[page] = rule
            if second % DISTURBED_EACH == 0:
                function, step = next(deaths)
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
    repeats = sum(REPEATS.values())
    drill.tell(f"a slow item each second; a death and {repeats} deliveries that repeat each {DISTURBED_EACH} seconds")


def wait_until_equal(drill: Drill, judge: Mapping, written_at: float, slow: int) -> float:
    """Return how many seconds after the last write, a slow item's too, the two are equal but for what is refused."""
    drill.wait_until(lambda: (found := drill.deployed.compare(judge)).agrees and found.failed == slow)
    late = time.time() - written_at
    assert late < LATE_SECONDS or not drill.is_long
    return late


def check_parked(drill: Drill, slow: dict[str, str]) -> None:
    """Take up what failed, until all of that is parked; assert that nothing else is, and why."""
    drill.wait_until_imported()
    drill.wait_until(lambda: drill.reprocess() and not drill.count_failed_records())
    failures = drill.reprocesses.list_failures()
    assert all(key.startswith(keys.parked_prefix(MAPPING)) for key in failures)
    records = [record for key in failures for record in drill.reprocesses.read_records(key)]
    pages = {json.loads(record.data)["Keys"]["page_id"]["S"]: record.error_message for record in records}
    assert set(pages) == set(slow), "of the stream, and of the exports that it is in"
    assert all(f"({slow[page]})" in reason for page, reason in pages.items()), pages
    drill.tell(f"nothing is parked but the {len(slow)} slow ones", about="failures")


@contextmanager
def few_failures(drill: Drill) -> Iterator[None]:
    """Have records be parked sooner than usual."""
    with drill.deployed.variables("ConvertFailuresFunctionName", MAX_ATTEMPTS=str(FAILURES)):
        yield


def count_deaths(drill: Drill) -> int:
    """How often the functions have died so far."""
    return sum(len(read_deaths(drill, function)) for function in DYING)
