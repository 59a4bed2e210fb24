"""Rereading: items of keys that are known, read again and imported as a view of their table.

    keys      are read as soon as what is read beats their rows, many at a time, no faster than is allowed
    items     are mapped as the stream maps them, for each target, at the version of the reading's second - 120
    no item   is a tombstone of that version
    refused   is kept as failed, as the stream keeps it
    batches   are written under batches/, and imported as every batch is; so the newest change of a key still wins

The version of what is read has to be above a row's, or the row stays: a row whose change was made less than two minutes
ago is waited for. Killed anywhere, the same keys can be read again: what was imported is older then, or equal.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.runs.executions import describe_execution
from backfill.terminal.console import name_command
from dynaurora import keys
from dynaurora.aws import sdk
from dynaurora.batches.batch import REPAIR, Batch, BatchObject, Share
from dynaurora.dynamodb.attributes import respell_numbers
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.items import MOST_KEYS, ItemsRead, TableItems
from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS, second_of, snapshot_version
from dynaurora.errors import RejectedChange, ThrottledError
from dynaurora.failures.failed_records import REJECTED, FailedRecord, now_ms
from dynaurora.failures.refused_changes import RefusedChange, keep_refused, refused_id
from dynaurora.mappings.csv_format import row_label
from dynaurora.mappings.reasons import count_apart, name_reason
from dynaurora.mappings.routing import Router, encode_delete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mypy_boto3_stepfunctions import SFNClient

    from backfill.deployment.deployments import Deployment
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.dynamodb.scans import Pace
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.registry import Registry
    from dynaurora.mappings.routing import Routed
    from dynaurora.mappings.row_mapper import RowMapper

BATCH_KEYS: Final = 5_000
"""Keys of one batch, at most."""
BATCH_BYTES: Final = 16 * 1024 * 1024
"""Of a batch's CSV, after which it is closed."""
MOST_IMPORTS: Final = 4
"""Batches that are imported beside each other."""
POLL_SECONDS: Final = 1.0
BUSY_ATTEMPTS: Final = 10
"""How often keys are tried again that a busy table does not give."""
MOST_WAIT_SECONDS: Final = 600
"""For a row's version to be beaten; one that lies further in the future is impossible."""
MOST_SKEW_SECONDS: Final = 20.0
"""By so much this machine's clock may differ from DynamoDB's: a version allows for 60 s, of all clocks together."""


@dataclass(frozen=True, slots=True)
class WantedKey:
    """A key whose item is to be read."""

    key: TypedItem
    """In DynamoDB's JSON."""
    beats: int = 0
    """The version that what is read has to be above: that of its row; 0 where there is none."""
    extra_in: frozenset[str] = frozenset()
    """Targets that have a row of it and should not: also those that no item of such a key would ever be in."""

    @property
    def readable_at(self) -> int:
        """The first second of Unix time at which it can be read."""
        return second_of(self.beats) + SNAPSHOT_MARGIN_SECONDS + 1 if self.beats else 0

    def __lt__(self, other: WantedKey) -> bool:
        """Order keys by when they can be read."""
        return self.readable_at < other.readable_at


@dataclass(slots=True)
class Reread:
    """What reading keys again came to."""

    keys: int = 0
    items: int = 0
    """Keys that have an item."""
    gone: int = 0
    """Keys that have none: tombstones, unless what has expired is kept."""
    refused: int = 0
    """Rows that the mapping refuses: kept as failed."""
    impossible: int = 0
    """Keys that were not read: the versions of their rows lie in the future, and nothing of today beats them."""
    rows: int = 0
    """Rows and tombstones that were imported, of all targets."""
    changed: int = 0
    """Rows of the replica that this has changed; the others were newer by then."""
    batches: int = 0
    units: float = 0.0
    """Read units."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why the mapping refuses items."""

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for machines."""
        names = ("keys", "items", "gone", "refused", "impossible", "rows", "changed", "batches", "units")
        return {name: getattr(self, name) for name in names}


@dataclass
class OpenBatch:
    """A batch that is being written."""

    keys: int = 0
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """By target."""
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    """Of what is refused, by target."""
    refused: list[RefusedChange] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether it is to be closed."""
        return self.keys >= BATCH_KEYS or self.size >= BATCH_BYTES

    def describe(self, mapping: Mapping, run: str, item: BatchObject) -> Batch:
        """Return its descriptor."""
        refusals = sum(self.reasons.values(), Counter[str]())
        shares = {
            target.table: Share(self.rows[target.table], count_apart(self.reasons.get(target.table, Counter())))
            for target in (mapping.targets if mapping.routes else ())
        }
        rows, rejected = self.rows.total(), count_apart(refusals)
        return Batch(mapping.name, REPAIR, run, rows, (item,), rejected, mapping.digest, targets=shares)


@dataclass
class KeyedReader:
    """Reads items by their keys, many at a time and consistently, no faster than is allowed."""

    items: TableItems
    pace: Pace
    tell: Callable[[str], None] = lambda _line: None
    """Is told what is waited for."""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    units: float = 0.0
    """Read units that were used."""

    def read(self, asked: Sequence[TypedItem]) -> Iterator[tuple[int, list[tuple[TypedItem, TypedItem | None]]]]:
        """Yield each of at most MOST_KEYS different keys once, with its item, or None where there is none.

        Those that were read at once come together, with the second of Unix time at which they were asked for. Raises
        ThrottledError where the table is busy for too long.
        """
        waiting, in_vain = {name_key(key): key for key in asked}, 0
        while waiting:
            second, read = int(self.clock()), self._try_to_read([*waiting.values()], in_vain)
            self.pace.use(read.units)
            self.units += read.units
            found = {name_key({name: item[name] for name in asked[0]}): item for item in read.items}
            unread = {name_key(key) for key in read.unread}
            here = [(key, found.get(name)) for name, key in waiting.items() if name not in unread]
            waiting = {name: key for name, key in waiting.items() if name in unread}
            if here:
                in_vain = 0
                yield second, here
            else:
                in_vain += 1
                self.tell(f"The table {self.items.table} is busy: {len(waiting)} keys are tried again")
                self.sleep(min(2.0**in_vain, 30.0))

    def _try_to_read(self, asked: list[TypedItem], in_vain: int) -> ItemsRead:
        """Read keys; none where the table is busy. Raises ThrottledError where it is for too long."""
        try:
            return self.items.read_items(asked)
        except ThrottledError:
            if in_vain >= BUSY_ATTEMPTS:
                raise
            return ItemsRead([], asked, 0.0)


@dataclass
class Rereader:
    """Reads the items of one replication's table again."""

    deployment: Deployment
    registry: Registry
    mapper: RowMapper
    """By the registry's current mapping; where that is another one meanwhile, reading ends with an error."""
    store: ObjectStore
    states: SFNClient
    run: str
    """What the batches belong to; a run of its own."""
    pace: Pace
    items: TableItems
    poll_seconds: float = POLL_SECONDS
    tell: Callable[[str], None] = lambda _line: None
    """Is told what is waited for."""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    done: Reread = field(default_factory=Reread)
    _imports: list[str] = field(default_factory=list)

    def reread(self, wanted: Iterable[WantedKey]) -> Reread:
        """Read the items of keys and import them; return what that came to, once all is imported.

        Keys that can be read now are read as they come; those that have to wait are read in the end. A key that is
        given more than once is read as often. Raises ClickException where a batch could not be imported, which is kept
        as failed then, or where the mapping is another one by now; and what reading the table raises.
        """
        router, batch = Router(self.mapper), OpenBatch()
        for some in self._group(wanted):
            self._read(some, router, batch)
            if batch.is_full:
                self._close(batch)
                batch = OpenBatch()
        self._close(batch)
        while self._imports:
            self._wait_for_import()
        return self.done

    def _group(self, wanted: Iterable[WantedKey]) -> Iterator[list[WantedKey]]:
        """Yield different keys so many at a time, as soon as they can be read."""
        group: dict[str, WantedKey] = {}
        early: list[WantedKey] = []
        for one in wanted:
            wait = one.readable_at - self.clock()
            if wait > MOST_WAIT_SECONDS:
                self.done.impossible += 1
            elif wait > 0:
                heapq.heappush(early, one)
            if wait > 0:
                continue
            group.setdefault(name_key(one.key), one)
            if len(group) == MOST_KEYS:
                yield [*group.values()]
                group = {}
        if group:
            yield [*group.values()]
        while early:
            self._wait_until(early[0].readable_at, len(early))
            group = {}
            while early and len(group) < MOST_KEYS and early[0].readable_at <= self.clock():
                one = heapq.heappop(early)
                group.setdefault(name_key(one.key), one)
            yield [*group.values()]

    def _wait_until(self, second: float, count: int) -> None:
        left = second - self.clock()
        if left > 0:
            self.tell(f"{count:,} rows were changed less than two minutes ago: waiting {left:.0f} s to beat them")
            self.sleep(left)

    def _read(self, wanted: list[WantedKey], router: Router, batch: OpenBatch) -> None:
        """Read some keys, all of them, and write their rows."""
        reader = KeyedReader(self.items, self.pace, self.tell, self.clock, self.sleep)
        for second, read in reader.read([one.key for one in wanted]):
            version = snapshot_version(second)
            changes = [Change(version, second * 1000, key, item) for key, item in read]
            self._write(changes, {name_key(one.key): one.extra_in for one in wanted}, router, batch)
        self.done.units += reader.units

    def _write(
        self, changes: list[Change], extra_in: dict[str, frozenset[str]], router: Router, batch: OpenBatch
    ) -> None:
        """Write what changes are in each target; tombstones in those that have extra rows of their keys, by name."""
        batch.keys += len(changes)
        self.done.keys += len(changes)
        gone = sum(change.is_delete for change in changes)
        self.done.gone += gone
        self.done.items += len(changes) - gone
        if self.deployment.ignores_expiries:  # rows of expired items are there by right
            changes = [change for change in changes if not change.is_delete]
        for routed in router.route_changes(changes).targets:
            known = {*routed.indexes, *routed.refusals}
            for index, change in enumerate(changes):  # of what its condition excludes, it gets nothing by itself
                if index not in known and routed.mapper.mapping.table in extra_in[name_key(change.keys)]:
                    routed.add(index, encode_delete(change))
            self._write_target(routed, changes, batch)

    def _write_target(self, routed: Routed, changes: list[Change], batch: OpenBatch) -> None:
        mapping, (lines, refusals) = routed.mapper.mapping, routed.write()
        label = row_label(mapping) if self.mapper.mapping.routes else b""
        for line in lines:
            if line is not None:
                batch.parts.append(label + line)
                batch.size += len(label) + len(line)
                batch.rows[mapping.table] += 1
        data = dict(zip(routed.indexes, routed.changes, strict=True))
        for index, (_, reasons) in sorted(refusals.items()):
            error, change = RejectedChange(*reasons), changes[index]
            reason = name_reason(error.reasons[0])
            batch.reasons.setdefault(mapping.table, Counter())[reason] += 1
            self.done.reasons[reason] += 1
            self.done.refused += 1
            encoded = data.get(index) or encode_change(change)  # what a condition refuses was not written
            batch.refused.append(self._refuse(mapping, change, encoded, error))

    def _refuse(self, mapping: Mapping, change: Change, data: bytes, error: RejectedChange) -> RefusedChange:
        record = FailedRecord(
            data=data,
            error_code=REJECTED,
            error_message=error.problem,
            attempts=1,
            failed_at_ms=now_ms(),
            function_arn=self.deployment.import_batch_arn,
            target=mapping.target_name,
        )
        return RefusedChange(refused_id(mapping.table, change, data), record)

    def _close(self, batch: OpenBatch) -> None:
        """Keep what was refused of a batch, write the batch, and have it imported."""
        mapping = self.mapper.mapping
        if self.registry.find_current().digest != mapping.digest:
            again = name_command("repair", mapping.name)
            raise click.ClickException(f"The mapping {mapping.name} was changed while items were read. Again: {again}")
        keep_refused(self.store, self.deployment.bucket, mapping.name, batch.refused)
        if not batch.parts:
            return
        while len(self._imports) >= MOST_IMPORTS:
            self._wait_for_import()
        body = b"".join(batch.parts)
        key = keys.repair_batch(mapping.name, self.run, hashlib.sha256(body).hexdigest()[:40])
        etag = self.store.write(self.deployment.bucket, key, body)
        described = batch.describe(mapping, self.run, BatchObject(self.deployment.bucket, key, etag, len(body)))
        self.done.rows += described.rows or 0
        self.done.batches += 1
        self.tell(f"{self.done.keys:,} keys read again, {self.done.rows:,} rows on their way")
        self._imports.append(self._start_import(described))

    def _start_import(self, batch: Batch) -> str:
        """Start the import of a batch, by a name that tells it, and return its execution's ARN."""
        machine, name = self.deployment.import_batch_arn, f"{REPAIR}-{batch.id}"
        document = json.dumps({"batch": batch.as_dict()})
        try:
            return self.states.start_execution(stateMachineArn=machine, name=name, input=document)["executionArn"]
        except self.states.exceptions.ExecutionAlreadyExists:  # an answer was lost on its way
            return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"

    def _wait_for_import(self) -> None:
        """Wait for the first import that was started. Raises ClickException where it failed."""
        arn = self._imports.pop(0)
        while (execution := describe_execution(self.states, arn)) is None or execution.is_running:
            self.sleep(self.poll_seconds)
        if execution.status != "SUCCEEDED":
            mapping = self.deployment.mapping
            raise click.ClickException(
                f"A batch of items that were read again was not imported: {execution.error or execution.status}:"
                f" {execution.cause or ''} It is kept as failed; see: {name_command('failures', 'list', mapping)}"
            )
        self.done.changed += int(execution.output.get("rows_changed") or 0)


def name_key(key: TypedItem) -> str:
    """Return a key as text that is the same however its numbers are spelled."""
    return json.dumps(respell_numbers(key), sort_keys=True)


def check_clock(table: str, clock: Callable[[], float] = time.time) -> None:
    """Raise ClickException where this machine's clock is not DynamoDB's: what is read now is dated by it.

    A version that is too high would hide changes of the stream that come after it.
    """
    with sdk.translated_errors():
        answer = sdk.client("dynamodb").describe_table(TableName=table)
    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if told is None:
        return
    ahead = clock() - parsedate_to_datetime(told).timestamp()
    if abs(ahead) > MOST_SKEW_SECONDS:
        now = datetime.fromtimestamp(clock(), UTC)
        raise click.ClickException(
            f"The clock of this machine says {now:%Y-%m-%d %H:%M:%S} UTC and is {abs(ahead):.0f} s"
            f" {'ahead of' if ahead > 0 else 'behind'} DynamoDB's. What is read is dated by it: set the clock, then"
            " repair again."
        )
