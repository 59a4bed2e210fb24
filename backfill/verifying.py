"""Verifying by a scan: items are read from here, and their rows are compared within the stack's network.

    the table      is scanned in segments beside each other, no faster than is allowed
    each page      is mapped, and sent to the function compare_rows, which looks the rows up and answers with verdicts
    the database   then lists the rows that no item was seen of, stretch by stretch
    suspects       are looked at again, until they agree or are proved different

No value of a row leaves the database, and no invocation sees more than some hundred of them.
"""

from __future__ import annotations

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.aws_errors import is_passing
from dynaurora import errors
from dynaurora.errors import RetryableError
from dynaurora.failures.failed_keys import write_key
from dynaurora.verification.compare_items import Compared, Suspect, compare_items, find_extra_rows, look_up, map_items
from dynaurora.verification.expectations import WantedKind
from dynaurora.verification.unseen_rows import Unseen
from dynaurora.verification.verdicts import SUSPICIOUS, UNEXPLAINED, Found, RowVerdict, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mypy_boto3_lambda import LambdaClient

    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.dynamodb.items import TableItems
    from dynaurora.dynamodb.scans import TableScan
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.expectations import Expectation, Expecter
    from dynaurora.verification.judging import SuspectJudge
    from dynaurora.verification.unseen_rows import Key

EXTRA: Final = Found(RowVerdict.EXTRA)
MOST_BYTES: Final = 1_000_000
"""Of the rows that are sent at a time; an invocation takes 6 MB."""
MOST_SUSPECTS: Final = 10_000
"""Of those that are looked at again; a table with more has been told enough of."""
RECORDED: Final = 200
"""Differences that are recorded at a time."""
SAMPLED_SEGMENTS: Final = 1_000
"""Of which a sample reads its share."""
ATTEMPTS: Final = 6
RETRIED: Final = frozenset(
    name for name, error in vars(errors).items() if isinstance(error, type) and issubclass(error, RetryableError)
)
"""What passes by itself, as the function names it."""


@dataclass(frozen=True)
class FunctionLookup:
    """The way to the rows, by the function compare_rows."""

    functions: LambdaClient
    name: str
    mapping: Mapping
    run: str
    sleep: Callable[[float], None] = time.sleep

    def compare(self, table: str, expectations: Sequence[Expectation]) -> list[Found]:
        """Return what is found of each key."""
        found: list[Found] = []
        for rows in divide([expectation.encode() for expectation in expectations]):
            answer = self.ask("compare", table=table, rows=rows)
            found += [Found(RowVerdict(verdict), tuple(columns)) for verdict, *columns in answer["findings"]]
        return found

    def list_unseen(self, table: str, after: Key | None, below: int | None = None) -> Unseen:
        """Return the rows of the next stretch of which no item was seen; only counted where not below a version."""
        answer = self.ask("list_unseen", table=table, after=after, below=None if below is None else str(below))
        keys, upto = [tuple(key) for key in answer["keys"]], answer["after"]
        return Unseen(answer["rows"], answer["newer"], keys, tuple(upto) if upto else None)

    def forget(self, **result: Any) -> None:
        """Forget which keys were seen, and close the verification with a result, if there is any."""
        while not self.ask("end", **result)["done"]:
            pass

    def ask(self, step: str, **more: Any) -> dict[str, Any]:
        """Return what the function answers. Raises ClickException where it fails, or what passes by itself does not."""
        asked = {"mapping": self.mapping.name, "digest": self.mapping.digest, "run": self.run, "step": step, **more}
        for attempt in range(ATTEMPTS):
            error, problem, document = None, "", {}
            try:
                answer = self.functions.invoke(FunctionName=self.name, Payload=json.dumps(asked).encode())
                document = json.loads(answer["Payload"].read())
            except (BotoCoreError, ClientError) as caught:
                error = caught
                if not is_passing(caught):
                    raise
            else:
                if not answer.get("FunctionError"):
                    return dict(document)
                problem = f"{document.get('errorType')}: {document.get('errorMessage')}"
                if document.get("errorType") not in RETRIED:
                    break
            self.sleep(2**attempt)
        if error:
            raise error
        raise click.ClickException(f"The function {self.name} failed: {problem}")


@dataclass
class Verification:
    """One verification by a scan, as it goes on."""

    expecter: Expecter
    lookup: FunctionLookup
    tell: Callable[[Tally], None] = lambda _tally: None
    """Is told how far it is."""
    tally: Tally = field(default_factory=Tally)
    suspects: list[Suspect] = field(default_factory=list)
    unproved: int = 0
    """Suspects beyond those that are looked at again: counted as what they seemed to be."""
    proved: list[Suspect] = field(default_factory=list)
    """What is unexplained, and what is as an older mapping wrote it: a repair mends both."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def mapping(self) -> Mapping:
        """The mapping that items are compared by."""
        return self.expecter.mapping

    def scan(self, scan: TableScan, segments: Sequence[int], of: int, workers: int) -> None:
        """Compare the items of some of so many segments, some beside each other."""
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(self._compare_segment, scan, segment, of) for segment in segments]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def compare_keys(self, items: TableItems, keys: Iterable[TypedItem]) -> None:
        """Compare the items of some keys, read one by one, with their rows; a row without an item is extra."""
        for key in keys:
            item = items.read_item(key)
            if item is not None:
                self.take(compare_items(self.expecter, self.lookup, [item]))
                continue
            for expected in self.expecter.expect(key, None):
                if expected.expectation is not None:
                    (finding,) = self.lookup.compare(expected.table, [expected.expectation])
                    if finding.verdict is not RowVerdict.IDENTICAL:
                        self.take(Compared(suspects=[Suspect(expected.table, key, finding)]))

    def find_extra_rows(self, key_types: dict[str, str], below: int | None = None) -> None:
        """Find the rows that no item was seen of, once all items were; of a snapshot, those below its version."""
        for compared in find_extra_rows(self.mapping, self.lookup, key_types, below):
            self.take(compared)

    def judge(self, judge: SuspectJudge) -> None:
        """Look at the suspects again."""
        extra = {(each.table, write_key(each.key)) for each in self.suspects if each.finding == EXTRA}
        for judged in judge.judge(self.suspects):
            is_row_alone = (judged.table, write_key(judged.key)) in extra  # no item that was compared
            if not is_row_alone or judged.finding.verdict in {*SUSPICIOUS, RowVerdict.BEHIND}:
                self.tally.count(judged.finding)
            if judged.finding.verdict in {*UNEXPLAINED, RowVerdict.OLDER_MAPPING}:
                self.proved.append(judged)
            self.tell(self.tally)

    def record(self, items: TableItems, *, reveal: bool) -> None:
        """Record what was proved, so many at a time."""
        first = 1
        for start in range(0, len(self.proved), RECORDED):
            entries = [self._describe(each, items) for each in self.proved[start : start + RECORDED]]
            first += self.lookup.ask("record", differences=entries, first=first, reveal=reveal)["rows"]

    def take(self, compared: Compared) -> None:
        """Count what was compared; suspects are looked at later, as long as there are not too many."""
        self.tally.add(compared.tally)
        self.unproved += compared.untold
        for suspect in compared.suspects:
            if len(self.suspects) < MOST_SUSPECTS:
                self.suspects.append(suspect)
            else:
                self.tally.count(suspect.finding)
                self.unproved += 1
        self.tell(self.tally)

    def _describe(self, suspect: Suspect, items: TableItems) -> dict[str, Any]:
        if not suspect.finding.columns:
            return suspect.as_dict()
        (expected,) = self.expecter.expect(suspect.key, items.read_item(suspect.key), suspect.table)
        wanted = expected.expectation
        is_row = wanted is not None and wanted.kind is WantedKind.ROW
        return {**suspect.as_dict(), "expectation": wanted.encode() if wanted and is_row else None}

    def _compare_segment(self, scan: TableScan, segment: int, of: int) -> None:
        for page in scan.read_segment(segment, of):
            with self._lock:  # what maps is for one at a time
                mapped = map_items(self.expecter, page)
            compared = look_up(mapped, self.lookup)
            with self._lock:
                self.take(compared)


def choose_segments(percent: float | None, workers: int) -> tuple[list[int], int]:
    """Return which segments to read, of how many: all, or at random so many percent of them."""
    if percent is None:
        return [*range(workers)], workers
    count = max(1, round(SAMPLED_SEGMENTS * percent / 100))
    return random.sample(range(SAMPLED_SEGMENTS), count), SAMPLED_SEGMENTS


def divide(rows: list[Any]) -> Iterator[list[Any]]:
    """Yield rows as many at a time as an invocation takes."""
    some: list[Any] = []
    size = 0
    for row in rows:
        length = len(json.dumps(row))
        if some and size + length > MOST_BYTES:
            yield some
            some, size = [], 0
        some.append(row)
        size += length
    if some:
        yield some
