"""Mutants: the faults that the histories are there to find, made on purpose.

Each replaces a piece of the production code by a broken one. `break_code` is given what sets an attribute of a module
or class, as pytest's `monkeypatch.setattr` does, which takes it back.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from backfill import gaps as filling
from backfill.repairing import Looked, Survey
from backfill.rereading import Rereader, WantedKey
from dynaurora import keys
from dynaurora.aurora import comparing, newer_rows, sql
from dynaurora.aurora.connection import Aurora
from dynaurora.aurora.origins import Origin
from dynaurora.aurora.seen_keys import DigestKind, SeenKeys
from dynaurora.batches import import_batch
from dynaurora.batches.batch import Batch
from dynaurora.batches.ledger import Ledger
from dynaurora.dynamodb import changes, versions
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.exports import convert_export, export_lines, plan_sweep, rejects
from dynaurora.exports.left_out import MOST_LEFT_OUT, LeftOut, LeftOutReader
from dynaurora.exports.reconcile_run import Totals
from dynaurora.failures import convert_failures, failed_records, settle_failures, superseded
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record, read_change, read_records
from dynaurora.failures.superseded import map_key
from dynaurora.mappings.compiled.row_writer import Exactly, RowWriter
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.rows import Row
from dynaurora.stream import forward_changes
from dynaurora.verification import compare_rows, unseen_rows
from dynaurora.verification.compare_rows import RowComparer
from dynaurora.verification.unseen_rows import Unseen
from dynaurora.verification.verdicts import RowVerdict
from tests.integration.convergence import gaps, histories
from tests.integration.convergence.histories import History, Step
from tests.integration.convergence.repairing import REPAIRED, Repairer
from tests.integration.convergence.things import make_mapping
from tests.integration.convergence.verifying import NEWER
from tests.support.factories import make_totals

SetAttribute = Callable[[object, str, Any], None]


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    name: str
    break_code: Callable[[SetAttribute], None]
    found_by: tuple[int, int] | None = None
    """Seed and deal of a history that finds it by itself, where it takes the first cohort long, or that does not."""

    def __str__(self) -> str:
        return self.name


def break_merge(change: Callable[[str], str]) -> Callable[[SetAttribute], None]:
    """Return what changes the text of the merge."""
    original = sql.merge_staged

    def break_code(set_attribute: SetAttribute) -> None:
        set_attribute(sql, "merge_staged", lambda *target: change(original(*target)))

    return break_code


def remove_guard_from_merge(set_attribute: SetAttribute) -> None:
    break_merge(remove_guard)(set_attribute)


def remove_guard(statement: str) -> str:
    guarded = re.sub(r"\S+ > \S+ OR \S+ = \S+ AND \S+ < \d+", "TRUE", statement)
    return re.sub(r"GREATEST\((\S+), \S+\)", r"\1", guarded)


def assign_version_first(statement: str) -> str:
    head, _, updates = statement.partition("ON DUPLICATE KEY UPDATE\n  ")
    *others, version = updates.split(",\n  ")
    return head + "ON DUPLICATE KEY UPDATE\n  " + ",\n  ".join([version, *others])


def prefer_the_last_of_a_version(statement: str) -> str:
    return statement.replace(".`_version` > ", ".`_version` >= ")


def keep_the_mark_of_deletes(statement: str) -> str:
    """Leave out whether the row is deleted."""
    return re.sub(r"  \S+`_deleted` = IF[^\n]*,\n", "", statement)


def merge_the_oldest_version_of_a_key(statement: str) -> str:
    """Take of several rows of a key in a batch the oldest, and not the newest."""
    staged = re.search(r"FROM (\S+) AS", statement)
    assert staged
    oldest = f"SELECT pk, sk, MIN(_version) FROM {staged[1]} GROUP BY pk, sk"
    rows = f"SELECT * FROM {staged[1]} WHERE (pk, sk, _version) IN ({oldest})"
    return statement.replace(f"FROM {staged[1]} AS", f"FROM ({rows}) AS")


def compare_as_doubles(statement: str) -> str:
    return re.sub(r"IF\((\S+) > (\S+) OR", r"IF(\1 + 0e0 > \2 + 0e0 OR", statement)


def drop_tombstones(set_attribute: SetAttribute) -> None:
    original = import_batch.merge

    def merge(origin: Origin, aurora: Aurora, table: str) -> int:
        mapping, changed = origin.mapping, original(origin, aurora, table)
        aurora.execute(f"DELETE FROM {sql.quote(mapping.database)}.{sql.quote(mapping.replica)} WHERE _deleted")
        return changed

    set_attribute(import_batch, "merge", merge)


def compare_sequences_as_text(set_attribute: SetAttribute) -> None:
    def stream_version(second: int, sequence_number: int) -> int:
        return versions.make_version(second, int(str(sequence_number).ljust(40, "0")))

    set_attribute(changes, "stream_version", stream_version)


def forget_floor(set_attribute: SetAttribute) -> None:
    """Round a stream record's time up instead."""
    original = changes.from_stream_record

    def from_stream_record(record: dict[str, Any]) -> Change:
        change, data = original(record), record["dynamodb"]
        second = math.ceil(data["ApproximateCreationDateTime"])
        return replace(change, version=versions.make_version(second, int(data["SequenceNumber"])))

    for module in (forward_changes, failed_records):
        set_attribute(module, "from_stream_record", from_stream_record)


def forget_margin(set_attribute: SetAttribute) -> None:
    set_attribute(versions, "SNAPSHOT_MARGIN_SECONDS", 0)


def halve_margin(set_attribute: SetAttribute) -> None:
    """Leave out the minute for clocks that differ."""
    set_attribute(versions, "SNAPSHOT_MARGIN_SECONDS", 60)


def lower_incremental_sequence(set_attribute: SetAttribute) -> None:
    def incremental_version(write_timestamp_micros: int, export_to_second: int) -> int:
        return versions.make_version(write_timestamp_micros // 1_000_000, 0)

    set_attribute(export_lines, "incremental_version", incremental_version)


def trust_the_windows_end(set_attribute: SetAttribute) -> None:
    def incremental_version(write_timestamp_micros: int, export_to_second: int) -> int:
        return versions.make_version(write_timestamp_micros // 1_000_000, versions.SEQUENCE_RANGE - 1)

    set_attribute(export_lines, "incremental_version", incremental_version)


def shorten_sequences(set_attribute: SetAttribute) -> None:
    """Take the longest sequence number to have 39 digits."""

    def incremental_version(write_timestamp_micros: int, export_to_second: int) -> int:
        version = original(write_timestamp_micros, export_to_second)
        return min(version, version // 10**40 * 10**40 + 10**39 - 1)

    original = versions.incremental_version
    set_attribute(export_lines, "incremental_version", incremental_version)


def forget_repetitions(set_attribute: SetAttribute) -> None:
    """Apply a batch that is in the ledger once more."""
    original = Ledger.enter

    def enter(self: Ledger, *part: Any) -> bool:
        original(self, *part)
        return True

    set_attribute(Ledger, "find", lambda _self, _ids: {})
    set_attribute(Ledger, "enter", enter)


def forget_contents(set_attribute: SetAttribute) -> None:
    """Name a batch by its objects' names alone."""

    def identify(self: Batch) -> str:
        return hashlib.sha256("".join(item.key for item in self.objects).encode()).hexdigest()[:40]

    set_attribute(Batch, "id", property(identify))


def count_every_row_as_changed(set_attribute: SetAttribute) -> None:
    original = Ledger.close

    def close(self: Ledger, batch: Any, ledger_id: str, rows_staged: int, _rows_changed: int, refused: Any) -> None:
        original(self, batch, ledger_id, rows_staged, rows_staged, refused)

    set_attribute(Ledger, "close", close)


def commit_what_failed(set_attribute: SetAttribute) -> None:
    """Commit what an import has done when one of its statements is refused."""

    @contextmanager
    def transaction(self: Aurora) -> Iterator[None]:
        self.execute("BEGIN")
        try:
            yield
        finally:
            self.execute("COMMIT")

    set_attribute(Aurora, "transaction", transaction)


def lose_what_an_export_refused(set_attribute: SetAttribute) -> None:
    set_attribute(rejects, "encode_failed_record", lambda _record: b"")


def lose_what_is_parked(set_attribute: SetAttribute) -> None:
    original = histories.settle_records

    def settle_records(store: Any, bucket: str, mapping: str, settlements: Any, *more: Any) -> int:
        return original(store, bucket, mapping, [{**settlement, "parked": None} for settlement in settlements], *more)

    set_attribute(histories, "settle_records", settle_records)


def forget_the_change_of_time(set_attribute: SetAttribute) -> None:
    """Tell every change as of 1970."""
    original = RowMapper.row

    def row(self: RowMapper, change: Change) -> Row:
        return original(self, Change(change.version, 0, change.keys, change.new_image))

    set_attribute(RowMapper, "row", row)


def commit_ledger_first(set_attribute: SetAttribute) -> None:
    original = Ledger.enter

    def enter(self: Ledger, *part: Any) -> bool:
        is_new = original(self, *part)
        self._aurora.execute("COMMIT")
        self._aurora.execute("BEGIN")
        return is_new

    set_attribute(Ledger, "enter", enter)


def merge_before_ledger(set_attribute: SetAttribute) -> None:
    """Commit the rows, and then the ledger's counts."""
    original = import_batch.merge

    def merge(origin: Origin, aurora: Aurora, table: str) -> int:
        changed = original(origin, aurora, table)
        aurora.execute("COMMIT")
        aurora.execute("BEGIN")
        return changed

    set_attribute(import_batch, "merge", merge)


def pad_keys(set_attribute: SetAttribute) -> None:
    set_attribute(sql, "key_collation", lambda _version: "utf8mb4_bin")


def fold_case(set_attribute: SetAttribute) -> None:
    def key_collation(version: str) -> str:
        return "utf8mb4_unicode_520_nopad_ci" if "mariadb" in version.lower() else "utf8mb4_0900_ai_ci"

    set_attribute(sql, "key_collation", key_collation)


def reprocess_as_of_now(set_attribute: SetAttribute) -> None:
    original = convert_failures.read_change

    def read_change(data: bytes, *, ignore_expiries: bool = False) -> Change | None:
        change = original(data, ignore_expiries=ignore_expiries)
        now = versions.make_version(2_000_000_000, 0)
        return change and Change(now, change.changed_at_ms, change.keys, change.new_image)

    set_attribute(convert_failures, "read_change", read_change)
    # Compiled code reads changes by itself.
    set_attribute(RowWriter, "write_changes", write_plainly)


def write_plainly(_writer: RowWriter, changes: list[bytes], exactly: Exactly) -> list[bytes | None]:
    rows = map(exactly, range(len(changes)))
    return [None if row is None else encode_row(row) for row in rows]


def sweep_as_of_now(set_attribute: SetAttribute) -> None:
    """Give tombstones, and the rows that they are for, the export's own time."""
    set_attribute(plan_sweep, "snapshot_version", lambda second: versions.make_version(second, 0))


def sweep_whatever_was_refused(set_attribute: SetAttribute) -> None:
    """Sweep after a run of which the mapping refused some items."""
    original = plan_sweep.Sweeper.plan

    def plan(self: plan_sweep.Sweeper, totals: Totals) -> plan_sweep.Sweep:
        return original(self, replace(totals, rejected=0))

    set_attribute(plan_sweep.Sweeper, "plan", plan)


def sweep_what_was_settled(set_attribute: SetAttribute) -> None:
    """Leave out only what is still kept of the run's refused items: what was settled or parked since is swept."""

    def read_kept(reader: LeftOutReader, left_out: LeftOut) -> None:
        mapper = RowMapper(reader.mapping)
        prefix = f"{keys.failed_records_prefix(reader.mapping.name)}backfill/run={reader.run}/"
        for listed in reader.store.list(reader.bucket, prefix):
            for record in read_records(reader.store, reader.bucket, listed.key):
                change = read_change(record.data)
                if change:
                    left_out.add(reader.mapping, map_key(mapper, change.keys))
        left_out.counts = Counter({reader.mapping.table: MOST_LEFT_OUT})

    set_attribute(LeftOutReader, "_read_refused_items", read_kept)


def archive_what_is_newest(set_attribute: SetAttribute) -> None:
    """Take a failure for overtaken by any row of its item, an older one too."""
    original = newer_rows.select_newer
    set_attribute(newer_rows, "select_newer", lambda target: original(target).replace("> %s", "<> %s"))


def archive_the_newer_failure(set_attribute: SetAttribute) -> None:
    """Of an item's failures leave the oldest, and archive the others."""
    original = superseded.ItemNamer.name

    def name(namer: superseded.ItemNamer, record: FailedRecord) -> list[superseded.FailedItem]:
        return [replace(item, version=10**50 - item.version) for item in original(namer, record)]

    set_attribute(superseded.ItemNamer, "name", name)
    set_attribute(superseded, "find_overtaken", lambda _items, _rows: set())


def revive_what_is_archived(set_attribute: SetAttribute) -> None:
    """Bring what a newer row has overtaken back as a change of now, instead of archiving it."""

    def separate(
        store: Any, bucket: str, _mapping: str, settlement: dict[str, Any], found: superseded.Superseded | None
    ) -> dict[str, str | None]:
        for kind in settle_failures.PUT_BACK:
            records = [*settle_failures.list_put_back(store, bucket, [settlement], (kind,))]
            again = [revive(record) if found and found.covers(record) else record for record in records]
            if records:
                store.write(bucket, settlement[kind], b"".join(map(encode_failed_record, again)))
        return {kind: settlement[kind] for kind in settle_failures.PUT_BACK}

    set_attribute(settle_failures, "separate_superseded", separate)


def revive(record: FailedRecord) -> FailedRecord:
    change = read_change(record.data)
    newest = change and replace(change, version=change.version + 10**43)
    return replace(record, data=encode_change(newest)) if newest else record


def sweep_nothing(set_attribute: SetAttribute) -> None:
    set_attribute(plan_sweep.Sweeper, "_tombstones", lambda _sweeper, _target, _left_out: iter(()))


def read_no_keys(set_attribute: SetAttribute) -> None:
    """Fill gaps with incremental exports alone."""
    set_attribute(filling, "bound_versions", lambda _windows: (0, 0))


def fill_gaps_too_soon(set_attribute: SetAttribute) -> None:
    """Take the view that fills a gap from within two minutes after it."""
    set_attribute(gaps, "MARGIN", 59)
    set_attribute(filling, "AFTER_SECONDS", 60)


def fill_gaps_from_their_begin(set_attribute: SetAttribute) -> None:
    set_attribute(filling, "BEFORE_SECONDS", 0)


def let_windows_touch(set_attribute: SetAttribute) -> None:
    set_attribute(filling, "OVERLAP_SECONDS", 0)


def take_changes_for_items(set_attribute: SetAttribute) -> None:
    """Read deletes of incremental exports as puts of what there was."""

    def read_change_line(line: bytes, place: str, second: int, names: Any) -> Change:
        change = original(line, place, second, names)
        old = json.loads(line).get("OldImage")
        return replace(change, new_image=change.new_image or old)

    original = export_lines.read_change_line
    set_attribute(convert_export, "read_change_line", read_change_line)


def fill_gaps_before_the_rest(set_attribute: SetAttribute) -> None:
    """Let records from before a gap arrive after what fills it."""
    set_attribute(History, "_draw_step", lambda history: history._draw.randint(0, Step.LATE))


def break_judgement(was: str, becomes: str) -> Callable[[SetAttribute], None]:
    """Return what changes what a verification's statement says of a row."""
    original = comparing._judge_staged

    def break_code(set_attribute: SetAttribute) -> None:
        assert was in original(Origin(make_mapping({}), 2), False, 1)
        set_attribute(comparing, "_judge_staged", lambda *given: original(*given).replace(was, becomes))

    return break_code


def forget_extras(set_attribute: SetAttribute) -> None:
    set_attribute(RowComparer, "list_unseen", lambda _comparer, _table, _after, _below=None: Unseen())


def count_tombstones_as_rows(set_attribute: SetAttribute) -> None:
    original = comparing.tell_digests

    def tell_digests(*given: Any, **ends: Any) -> str:
        return original(*given, **ends).replace("NOT `_deleted`", "TRUE")

    set_attribute(comparing, "tell_digests", tell_digests)


def judge_newer_rows_as_extra(set_attribute: SetAttribute) -> None:
    original = RowComparer.list_unseen
    set_attribute(
        RowComparer, "list_unseen", lambda comparer, table, after, _below=None: original(comparer, table, after)
    )


def forget_what_was_seen(set_attribute: SetAttribute) -> None:
    original = SeenKeys.add

    def add(seen: SeenKeys, kind: DigestKind, digests: Any, part: int | None = None) -> None:
        original(seen, kind, [*digests][1:] if kind is DigestKind.SEEN else digests, part)

    set_attribute(SeenKeys, "add", add)


def compare_some_buckets(set_attribute: SetAttribute) -> None:
    """Compare the digests of half of the buckets only."""
    original = unseen_rows.choose_pass

    def choose_pass(number: int, rows: int) -> unseen_rows.Pass:
        chosen = original(number, rows)
        return replace(chosen, buckets=range(chosen.buckets.start, chosen.buckets.stop // 2))

    set_attribute(unseen_rows, "choose_pass", choose_pass)


def compare_text_by_collation(set_attribute: SetAttribute) -> None:
    set_attribute(comparing, "_has_same", lambda column, _: f"`staged`.`{column.name}` <=> `row`.`{column.name}`")


def take_the_future_for_any_time(set_attribute: SetAttribute) -> None:
    set_attribute(compare_rows, "FUTURE_SECONDS", 2**40)


def choose_to_mend(change: Callable[[Looked, bool], bool]) -> Callable[[SetAttribute], None]:
    """Return what changes whether a repair takes a key for one to be mended."""
    original = Looked.is_to_mend.fget

    def break_code(set_attribute: SetAttribute) -> None:
        assert original
        set_attribute(Looked, "is_to_mend", property(lambda looked: change(looked, original(looked))))

    return break_code


def pass_over_newer_rows(looked: Looked, is_to_mend: bool) -> bool:
    return is_to_mend and (bool(looked.kept) or looked.version < NEWER)


def pass_over_extras(looked: Looked, is_to_mend: bool) -> bool:
    return is_to_mend and looked.finding.verdict is not RowVerdict.EXTRA


def write_no_tombstones(set_attribute: SetAttribute) -> None:
    original = Rereader._write

    def write(self: Rereader, changes: list[Change], *more: Any) -> None:
        original(self, [change for change in changes if not change.is_delete], *more)

    set_attribute(Rereader, "_write", write)


def sweep_after_a_repair(set_attribute: SetAttribute) -> None:
    """Delete what is older than the repair, as after a whole export, and not the rows that were found."""
    original = Repairer.reread

    def reread(self: Repairer, survey: Survey) -> list[dict[str, Any]]:
        sweeper = plan_sweep.Sweeper(self.mapping, self.aurora, self.store, self.bucket, self.name, REPAIRED)
        batches = original(self, survey)
        sweep = sweeper.plan(make_totals(rejected=0))
        return [*batches, *json.loads(self.store.read(sweep.bucket, sweep.key))]

    set_attribute(Repairer, "reread", reread)


def read_at_once(set_attribute: SetAttribute) -> None:
    """Read keys whether or not what is read beats their rows."""
    set_attribute(WantedKey, "readable_at", property(lambda _wanted: 0))


OF_REPAIR = [
    Mutant("rows newer than the verification pass for equal", choose_to_mend(pass_over_newer_rows)),
    Mutant("rows of no item are not mended", choose_to_mend(pass_over_extras)),
    Mutant("keys without an item get no tombstone", write_no_tombstones),
    Mutant("what is older than a repair in part is swept", sweep_after_a_repair),
    Mutant(
        "failures of items that are gone are revived", choose_to_mend(lambda looked, mend: mend and not looked.kept)
    ),
    Mutant("a repair does not wait until it beats the rows", read_at_once),
]
"""Faults of `dynaurora repair`."""

OF_VERIFICATION = [
    Mutant("rows newer than the snapshot pass for equal", break_judgement("THEN 'newer'", "THEN 'identical'")),
    Mutant("rows newer than the snapshot pass for different", break_judgement("THEN 'newer'", "THEN 'differing'")),
    Mutant("rows newer than the snapshot and without an item are extra", judge_newer_rows_as_extra),
    Mutant("tombstones pass for rows where items are compared", break_judgement(" OR `row`.`_deleted`", "")),
    Mutant("tombstones pass for rows of no item", count_tombstones_as_rows),
    Mutant("rows of no item are forgotten", forget_extras),
    Mutant("a key that was seen is forgotten", forget_what_was_seen),
    Mutant("rows of no item are looked for in half of the buckets", compare_some_buckets),
    Mutant("text is compared by its collation", compare_text_by_collation),
    Mutant(
        "versions of the future pass for any in an export", break_judgement("THEN 'impossible'", "THEN 'identical'")
    ),
    Mutant("versions of the future pass for any in a scan", take_the_future_for_any_time),
]
"""Faults of `dynaurora verify`."""

OF_STATEMENTS = [
    Mutant("the merge has no guard", remove_guard_from_merge),
    Mutant("the last of two rows of the same version wins", break_merge(prefer_the_last_of_a_version), (202, 0)),
    Mutant("the oldest version of a key in a batch wins", break_merge(merge_the_oldest_version_of_a_key)),
    Mutant("rows are not marked as deleted", break_merge(keep_the_mark_of_deletes)),
    Mutant("the version is assigned first", break_merge(assign_version_first)),
    Mutant("versions are compared as doubles", break_merge(compare_as_doubles)),
    Mutant("tombstones are dropped", drop_tombstones),
    Mutant("a batch that is in the ledger is applied again", forget_repetitions, (2, 0)),
    Mutant("what a failed import did is committed", commit_what_failed),
    Mutant("the ledger's row is committed first", commit_ledger_first),
    Mutant("the ledger's counts are committed last", merge_before_ledger, (2, 0)),
    Mutant("keys are padded with spaces", pad_keys),
    Mutant("keys are compared without case", fold_case),
]
"""Faults in what the server is told to do."""

MUTANTS = [
    *OF_STATEMENTS,
    Mutant("sequence numbers are compared as text", compare_sequences_as_text, (17, 0)),
    Mutant("the second is not floored", forget_floor, (37, 0)),
    Mutant("snapshots are not dated back", forget_margin),
    Mutant("snapshots are dated back by one minute", halve_margin),
    Mutant("the last record of a second does not beat the stream's", lower_incremental_sequence, (182, 0)),
    Mutant("a record near the end of its window passes for the last of its second", trust_the_windows_end, (69, 0)),
    Mutant("sequence numbers of 40 digits are higher than the highest", shorten_sequences, (182, 0)),
    Mutant("a batch is named by its objects' names", forget_contents, (42, 3)),
    Mutant("the ledger counts every row as changed", count_every_row_as_changed),
    Mutant("reprocessed records are new again", reprocess_as_of_now),
    Mutant("what an export has and the mapping refuses is lost", lose_what_an_export_refused, (192, 0)),
    Mutant("what is refused too often is lost", lose_what_is_parked, (95, 0)),
    Mutant("the time of a change is lost", forget_the_change_of_time, (239, 0)),
    Mutant("a sweep is dated at its export's time", sweep_as_of_now, (9, 0)),
    Mutant("what an export refused is swept", sweep_whatever_was_refused, (47, 0)),
    Mutant("what an export refused and was parked since is swept", sweep_what_was_settled, (95, 0)),
    Mutant("what an export lacks is not swept", sweep_nothing, (39, 0)),
    Mutant("a failure is superseded by an older row", archive_what_is_newest, (210, 0)),
    Mutant("of an item's failures the oldest is left", archive_the_newer_failure, (210, 0)),
    Mutant("superseded failures are revived", revive_what_is_archived, (29, 0)),
    Mutant("a gap's keys are not read", read_no_keys, (94, 0)),
    Mutant("a gap is filled too soon", fill_gaps_too_soon, (36, 0)),
    Mutant("a gap is filled from its begin on", fill_gaps_from_their_begin, (357, 0)),
    Mutant("the windows that fill a gap only touch", let_windows_touch, (231, 0)),
    Mutant("deletes of an incremental export are taken for puts", take_changes_for_items, (36, 0)),
    Mutant("records from before a gap come after its filling", fill_gaps_before_the_rest, (64, 0)),
]
