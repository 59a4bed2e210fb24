r"""Clicks: a seeded stream of changes to the reference table `web_analytics`, and its fast writer.

Changes come as *stories*. A story is everything that happens to one key, in order: an insert; several updates within
the same second; a delete; an insert after the delete. One change in a hundred breaks the mapping's schema, each time
in another way. Texts are what real ones can be: emoji, quotes, commas, backslashes, tabs, newlines, `\N`, trailing
spaces, nothing at all.

*Seeded* items are there before the stories begin, for a backfill to find; their *sequels* are what becomes of them
while it runs. Half of them have none.

No change repeats the item as it is, for DynamoDB writes no stream record for that. Stories are made one after another
and forgotten, so that memory does not grow with their number.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import count, islice, zip_longest
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import WriteRequestTypeDef

BAD_SHARE: Final = 0.01
STORIES_TOGETHER: Final = 25
"""Stories written side by side: BatchWriteItem takes 25 changes, each of another key (API reference)."""
WRITERS: Final = 4
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 2.0
MAX_INT: Final = 2**31 - 1
"""Largest value of the mapping's INT column."""

TEXTS: Final = (
    "plain",
    "🦊🐉 emoji, é and 漢字",
    'it\'s "quoted", with, commas',
    "back\\slash\\n and \\\\ two",
    "tab\there",
    "line\nbreak\r\nand another",
    "\\N",
    "trailing spaces  ",
    "  leading spaces",
    "NULL",
    "'; DROP TABLE clicks; --",
    "%s {} ${HOME} <b>&amp;</b>",
    "\u200bzero width\ufeff",
)
"""Parts of keys, which may not be empty, and of other texts, which may."""
COUNTRIES: Final = ("DE", "US", "IN", "BR", "JP", "ZA", "", "\\N", "Côte d'Ivoire", "  ", "Perú\t", "日本")
PLOTS: Final = ("P", "P", "PP", "PUUUU", "PD", "PDP", "PUDPU", "PUDPD")
"""How stories go: P puts an item that was not there, U updates it, D deletes it."""
SEQUELS: Final = ("", "", "", "", "U", "UU", "D", "D", "UD", "DP")
"""How the stories of seeded items go on."""
SEQUELS_SHARE: Final = 0.5
"""Share of the changes that are of seeded items, at most."""

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Click:
    """One change of the table."""

    page_id: str
    activity_dt: str
    attributes: Item | None
    """What the item has beside its key, in DynamoDB's typed form; None where it is to be deleted."""
    is_bad: bool = False
    """Whether the mapping refuses it."""
    is_sequel: bool = False
    """Whether the item was seeded."""

    @property
    def request(self) -> WriteRequestTypeDef:
        """The change as BatchWriteItem takes it."""
        key: Item = {"page_id": {"S": self.page_id}, "activity_dt": {"S": self.activity_dt}}
        if self.attributes is None:
            return {"DeleteRequest": {"Key": key}}
        return {"PutRequest": {"Item": key | self.attributes}}


Story = list[Click]


def tell_stories(changes: int, seed: int, run: str, seeded: int = 0) -> Iterator[Story]:
    """Yield stories of `changes` changes in all, the sequels of so many seeded items evenly among them.

    The same seed tells the same stories. `run` is part of every item, so that telling them once more to the same table
    changes every item again.
    """
    sequels, of_new_items = _tell_sequels(seeded, seed, run), _tell_new(seed, run)
    share = min(SEQUELS_SHARE, _expect_sequels(seeded) / changes)
    told = told_of_seeded = 0
    while told < changes:
        story = next(sequels, None) if told_of_seeded < share * told else None
        if story is None:
            story = next(of_new_items)
        story = story[: changes - told]
        yield story
        told += len(story)
        told_of_seeded += sum(click.is_sequel for click in story)


def tell_seeded(items: int, seed: int, run: str) -> Iterator[Story]:
    """Yield the beginnings of stories that `tell_stories` goes on with: each puts one item."""
    for number in range(items):
        numbers = _draw(seed, "seeded", number)
        page_id, activity_dt = _name_seeded(numbers, number)
        yield [_put(numbers, page_id, activity_dt, f"{run}-seeded-{number}")]


def _tell_sequels(seeded: int, seed: int, run: str) -> Iterator[Story]:
    """Yield what becomes of the seeded items that something becomes of."""
    for number in range(seeded):
        page_id, activity_dt = _name_seeded(_draw(seed, "seeded", number), number)
        numbers = _draw(seed, "sequel", number)
        story = _act(numbers, page_id, activity_dt, numbers.choice(SEQUELS), f"{run}-sequel-{number}")
        if story:
            yield [replace(click, is_sequel=True) for click in story]


def _tell_new(seed: int, run: str) -> Iterator[Story]:
    """Yield stories of new items without end."""
    for number in count():
        numbers = _draw(seed, number)
        page_id = f"/page/{number}/{numbers.choice(TEXTS)}"
        activity_dt = _name_time(numbers, number)
        yield _act(numbers, page_id, activity_dt, numbers.choice(PLOTS), f"{run}-{number}")


def _expect_sequels(seeded: int) -> float:
    """Return how many changes the sequels of so many items come to, on average."""
    return seeded * sum(map(len, SEQUELS)) / len(SEQUELS)


def _draw(*seed: int | str) -> random.Random:
    """Return the random numbers of one story, whose order others do not change."""
    return random.Random("/".join(map(str, seed)))  # noqa: S311  # clicks, no secrets


def _name_seeded(numbers: random.Random, number: int) -> tuple[str, str]:
    """Return the key of a seeded item, from the first random numbers of its story."""
    return f"/seeded/{number}/{numbers.choice(TEXTS)}", _name_time(numbers, number)


def _name_time(numbers: random.Random, number: int) -> str:
    return f"2026-{numbers.randint(1, 12):02d}-{numbers.randint(1, 28):02d}T08:15:00.{number % 1000:03d}Z"


def _act(numbers: random.Random, page_id: str, activity_dt: str, plot: str, session: str) -> Story:
    """Return what happens to a key, act by act."""
    return [
        Click(page_id, activity_dt, None) if act == "D" else _put(numbers, page_id, activity_dt, f"{session}-{step}")
        for step, act in enumerate(plot)
    ]


def _put(numbers: random.Random, page_id: str, activity_dt: str, session: str) -> Click:
    visit = _describe_visit(numbers, session)
    is_bad = numbers.random() < BAD_SHARE
    attributes = numbers.choice(FLAWS)(visit) if is_bad else _with_payload(visit)
    return Click(page_id, activity_dt, attributes, is_bad)


def _describe_visit(numbers: random.Random, session: str) -> Item:
    """Return a payload that the schema accepts; `session` makes it unlike any other."""
    started = f"2026-11-23T{numbers.randint(0, 23):02d}:00:00Z"
    return {
        "Hits": numbers.choice((0, 1, 17, -1, MAX_INT, numbers.randint(0, 10_000))),
        "device": {
            "make": numbers.choice(TEXTS),
            "platform": {"name": numbers.choice(("Android", "iOS", "")), "version": f"{numbers.randint(1, 20)}"},
            "location": {
                "latitude": f"{numbers.uniform(-90, 90):.5f}",
                "longitude": f"{numbers.uniform(-180, 180):.5f}",
                "country": numbers.choice(COUNTRIES),
            },
        },
        "session": {
            "session_id": session,
            "start_timestamp": numbers.choice((started, started, "", numbers.choice(TEXTS))),
            "stop_timestamp": numbers.choice((f"{session} ", started)),
        },
    }


def _with_payload(payload: Item) -> Item:
    return {"payload": {"S": json.dumps(payload, ensure_ascii=False)}}


def _cut_off(visit: Item) -> Item:
    return {"payload": {"S": json.dumps(visit)[:-1]}}


def _without_hits(visit: Item) -> Item:
    return _with_payload({name: value for name, value in visit.items() if name != "Hits"})


def _with_worded_hits(visit: Item) -> Item:
    return _with_payload(visit | {"Hits": "a few"})


def _with_too_many_hits(visit: Item) -> Item:
    return _with_payload(visit | {"Hits": MAX_INT + 1})


def _with_long_time(visit: Item) -> Item:
    return _with_payload(visit | {"session": visit["session"] | {"start_timestamp": "x" * 65}})


def _with_half_a_character(visit: Item) -> Item:
    """Return a payload with a lone surrogate, which only an escape can write."""
    return {"payload": {"S": json.dumps(visit | {"session": visit["session"] | {"stop_timestamp": "\ud800"}})}}


def _as_map(visit: Item) -> Item:
    return {"payload": {"M": {"session": {"S": visit["session"]["session_id"]}}}}


def _elsewhere(visit: Item) -> Item:
    return {"visit": {"S": json.dumps(visit)}}


FLAWS: Final[tuple[Callable[[Item], Item], ...]] = (
    _cut_off,
    _without_hits,
    _with_worded_hits,
    _with_too_many_hits,
    _with_long_time,
    _with_half_a_character,
    _as_map,
    _elsewhere,
)
"""The ways in which a payload breaks the schema or does not fit its column."""


@dataclass
class Written:
    """What has been written so far. Writers share it."""

    changes: int = 0
    bad: int = 0
    updates: Counter[int] = field(default_factory=Counter)
    """Updates of seeded items by the second, of Unix time, in which DynamoDB took them."""
    deletes: Counter[int] = field(default_factory=Counter)
    """Their deletes."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def add(self, clicks: list[Click]) -> None:
        """Count changes that DynamoDB has taken just now."""
        second = int(time.time())
        with self._lock:
            self.changes += len(clicks)
            self.bad += sum(click.is_bad for click in clicks)
            self.updates[second] += sum(click.is_sequel and click.attributes is not None for click in clicks)
            self.deletes[second] += sum(click.is_sequel and click.attributes is None for click in clicks)


def write_stories(dynamodb: DynamoDBClient, table: str, stories: Iterator[Story], written: Written) -> None:
    """Write stories with a few threads, those of each key in order; `written` follows the progress.

    Each thread tells 25 stories at a time, side by side: their first changes in one call, then their second ones, so
    that a key is never twice in a call and its changes follow one another within milliseconds.
    """
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="clicks") as pool:
        pending: set[Future[None]] = set()
        try:
            while together := list(islice(stories, STORIES_TOGETHER)):
                pending.add(pool.submit(_write_together, dynamodb, table, together, written))
                if len(pending) >= 2 * WRITERS:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    _raise_failures(done)
            _raise_failures(wait(pending).done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _raise_failures(done: set[Future[None]]) -> None:
    for future in done:
        future.result()


def _write_together(dynamodb: DynamoDBClient, table: str, stories: list[Story], written: Written) -> None:
    for step in zip_longest(*stories):
        clicks = [click for click in step if click is not None]
        _write_batch(dynamodb, table, [click.request for click in clicks])
        written.add(clicks)


def _write_batch(dynamodb: DynamoDBClient, table: str, requests: list[WriteRequestTypeDef]) -> None:
    """Write changes of different keys; those that DynamoDB leaves unprocessed once more, after a growing pause."""
    answer = dynamodb.batch_write_item(RequestItems={table: requests})
    pause = FIRST_PAUSE_SECONDS
    while answer["UnprocessedItems"]:
        time.sleep(pause)
        answer = dynamodb.batch_write_item(RequestItems=answer["UnprocessedItems"])
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
