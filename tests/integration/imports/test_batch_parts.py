"""Batches whose rows several mappings wrote: each row is loaded by the columns of its own, wherever those are now."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from dynaurora.aurora import sql
from dynaurora.aurora.connection import connect
from dynaurora.aurora.generations import activate, register
from dynaurora.aws.objects import S3Objects
from dynaurora.batches import import_batch as importing
from dynaurora.errors import MalformedBatchError, RowCountError, TargetMismatchError, UnregisteredMappingError
from dynaurora.mappings.csv_format import encode_row, make_label
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.rows import Row
from tests.integration.targets import Target, TargetFor
from tests.support.labelled_rows import encode_labelled
from tests.support.mapping_versions import make_people

pytestmark = pytest.mark.integration

EMAIL, PHONE, CITY = ((name, "VARCHAR(60)", name) for name in ("email", "phone", "city"))
FIRST = make_people(EMAIL, PHONE)
LATER = {
    "swapped": make_people(PHONE, EMAIL),
    "gained": make_people(EMAIL, PHONE, CITY),
    "replaced": make_people(EMAIL, CITY),
    "dropped": make_people(EMAIL),
}
SWAPPED, GAINED = LATER["swapped"], LATER["gained"]
Change = Callable[[Target, Mapping], Target]


@pytest.fixture
def change() -> Change:
    """Change a target's mapping, as a deployment does: columns that are new are added, and none is dropped."""

    def change_mapping(target: Target, mapping: Mapping) -> Target:
        mapping = dataclasses.replace(mapping, database=target.mapping.database)
        with connect(target.endpoint, target.administrator) as aurora:
            there = {name for name, *_ in aurora.query(sql.show_columns(mapping, mapping.replica))}
            for column in mapping.columns:
                if column.name not in there:
                    table = f"{sql.quote(mapping.database)}.{sql.quote(mapping.replica)}"
                    aurora.execute(f"ALTER TABLE {table} ADD COLUMN {sql.quote(column.name)} {column.type.sql} NULL")
            activate(aurora, mapping)
        return dataclasses.replace(target, mapping=mapping, _written=target._written + 100)

    return change_mapping


def person(version: int, *fields: str | None, key: str = "ann") -> Row:
    return Row(False, version, (key, *fields))


def people(target: Target, *columns: str) -> list[tuple[Any, ...]]:
    names = ", ".join(columns or ("id", "email", "phone"))
    return target.query(f"SELECT {names} FROM {target.mapping.database}.People__replica ORDER BY id")


def parts_of(target: Target) -> list[tuple[Any, ...]]:
    statement = "SELECT batch_id, digest, rows_staged, rows_changed FROM {}._dynaurora_imports ORDER BY started_at"
    return target.query(statement.format(target.mapping.database))


def test_labelled_rows_of_the_current_mapping_are_one_part_with_its_digest(target_for: TargetFor) -> None:
    target = target_for(FIRST)
    batch = target.write_bytes(encode_labelled(target.mapping, [person(1, "a@b", "555")]))
    result, again = target.import_batch(batch), target.import_batch(batch)
    assert (result.status, result.rows_staged, again.status, again.rows_staged) == ("applied", 1, "already_applied", 1)
    label = make_label("People", target.mapping.digest)
    assert parts_of(target) == [(batch.part_id(label), target.mapping.digest, 1, 1)]
    assert people(target) == [("ann", "a@b", "555")]


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
def test_a_batch_of_yesterdays_mapping_is_loaded_by_its_own_columns(
    target_for: TargetFor, change: Change, later: Mapping
) -> None:
    first = target_for(FIRST)
    batch = first.write_bytes(encode_labelled(first.mapping, [person(1, "a@b", "555")]))
    unlabelled = first.write([person(1, "b@b", "556", key="bea")])
    target = change(first, later)
    assert target.import_batch(batch).rows_changed == target.import_batch(unlabelled).rows_changed == 1
    assert people(target) == [("ann", "a@b", "555"), ("bea", "b@b", "556")]
    assert [digest for _, digest, *_ in parts_of(target)] == [first.mapping.digest] * 2


def test_an_object_of_many_mappings_is_loaded_part_by_part(target_for: TargetFor, change: Change) -> None:
    first = target_for(FIRST)
    swapped = change(first, SWAPPED)
    target = change(swapped, GAINED)
    body = (
        encode_labelled(target.mapping, [person(1, "c@b", "3", "Rome", key="cid")])
        + encode_labelled(first.mapping, [person(1, "a@b", "1")])
        + encode_labelled(swapped.mapping, [person(1, "2", "b@b", key="bea")])
        + encode_labelled(first.mapping, [person(1, "d@b", "4", key="dan")])
    )
    batch = target.write_bytes(body)
    result = target.import_batch(batch)
    assert (result.rows_staged, result.rows_changed) == (4, 4)
    assert people(target, "id", "email", "phone", "city", "_mapping") == [
        ("ann", "a@b", "1", None, 1),
        ("bea", "b@b", "2", None, 2),
        ("cid", "c@b", "3", "Rome", 3),
        ("dan", "d@b", "4", None, 1),
    ]
    assert len(parts_of(target)) == 3
    assert target.import_batch(batch).status == "already_applied"


HOSTILE = [
    "\x1a",
    "\x1aPeople.0123456789abcdef,",
    "\\Z",
    "\\\x1a",
    "a\n\x1aPeople.{short},0,9,eve,x,y",
    "\x1aPeople.{short},",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_values_that_imitate_a_label_are_values(target_for: TargetFor, change: Change, hostile: str) -> None:
    first = target_for(FIRST)
    target = change(first, SWAPPED)
    value = hostile.replace("{short}", first.mapping.digest[:16])
    labelled = encode_labelled(target.mapping, [person(1, "555", value), person(1, value, "z@b", key="zoe")])
    other = encode_labelled(first.mapping, [person(1, "b@b", value, key="bea")])
    assert target.import_batch(target.write_bytes(labelled + other)).rows_staged == 3
    expected = [("ann", value, "555"), ("bea", "b@b", value), ("zoe", "z@b", value)]
    assert people(target) == expected
    target.execute(f"DELETE FROM {target.mapping.database}.People__replica")
    # The first release escaped no 0x1A, and wrote no labels: its lines stand beside others in the same object.
    old = b"".join(map(encode_row, [person(2, "a@b", value), person(2, value, "z", key="zoe")]))
    old = old.replace(b"\\Z", b"\x1a") if "\\Z" not in value else old
    assert target.import_batch(target.write_bytes(old + other + old)).rows_staged == 5
    assert people(target) == [("ann", "a@b", value), ("bea", "b@b", value), ("zoe", value, "z")]


def test_a_mixed_object_whose_import_was_cut_between_its_parts_is_finished(
    target_for: TargetFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = target_for(FIRST)
    old = b"".join(map(encode_row, [person(1, "b\x1a@b", "2", key="bea")]))
    batch = target.write_bytes(old + encode_labelled(target.mapping, [person(1, "a@b", "1")]))
    original, calls = importing.apply, []

    def die_at_the_second(*work: Any) -> Any:
        calls.append(work)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*work)

    monkeypatch.setattr(importing, "apply", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        target.import_batch(batch)
    assert [rows for _, _, rows, _ in parts_of(target)] == [1]
    result = target.import_batch(batch)
    assert (result.status, result.rows_staged, len(people(target))) == ("applied", 2, 2)
    assert batch.id in {ledger_id for ledger_id, *_ in parts_of(target)}


def test_a_digest_that_nobody_knows_is_named_and_can_be_registered(target_for: TargetFor, change: Change) -> None:
    first = target_for(FIRST)
    unknown = dataclasses.replace(SWAPPED, database=first.mapping.database)
    known = encode_labelled(first.mapping, [person(1, "a@b", "1")])
    batch = first.write_bytes(known + encode_labelled(unknown, [person(1, "2", "b@b", key="bea")]))
    with pytest.raises(UnregisteredMappingError, match="mapping register FILE"):
        first.import_batch(batch)
    assert people(first) == []
    with connect(first.endpoint, first.administrator) as aurora:
        register(aurora, unknown)
    assert first.import_batch(batch).rows_changed == 2
    assert people(first, "email", "phone", "_mapping") == [("a@b", "1", 1), ("b@b", "2", 0)]


def test_a_batch_with_a_digest_is_of_that_mapping(target_for: TargetFor, change: Change) -> None:
    first = target_for(FIRST)
    target = change(first, SWAPPED)
    plain = dataclasses.replace(target.write([person(1, "555", "a@b")], 1), source="backfill")
    target.import_batch(dataclasses.replace(plain, digest=target.mapping.digest))
    assert people(target) == [("ann", "a@b", "555")]
    older = dataclasses.replace(target.write([person(2, "b@b", "556")], 1), source="backfill")
    target.import_batch(older)
    assert people(target) == [("ann", "b@b", "556")]


@pytest.mark.parametrize(
    "line",
    [b"\x1a0,1,a,b,c\n", b"\x1aPeople.0123,0,1,a,b,c\n", b"\x1aPeople,0,1,a\n", b"\x1aPeople.{short},0,1,a,\x1ab,c\n"],
)
def test_a_label_that_is_none_fails_the_batch(target_for: TargetFor, line: bytes) -> None:
    target = target_for(FIRST)
    good = encode_labelled(target.mapping, [person(1, "a@b", "1")])
    with pytest.raises(MalformedBatchError, match=r"Line 2 of s3://"):
        target.import_batch(target.write_bytes(good + line.replace(b"{short}", target.mapping.digest[:16].encode())))
    assert people(target) == []


def test_rows_of_another_target_are_not_passed_over(target_for: TargetFor) -> None:
    target = target_for(FIRST)
    own = encode_labelled(target.mapping, [person(1, "a", "b")])
    with pytest.raises(UnregisteredMappingError, match="Others"):
        target.import_batch(target.write_bytes(own + own.replace(b"People.", b"Others.")))
    assert people(target) == []


def test_lines_that_a_load_passes_over_are_missed(target_for: TargetFor, monkeypatch: pytest.MonkeyPatch) -> None:
    target = target_for(FIRST)
    batch = target.write_bytes(encode_labelled(target.mapping, [person(1, "a", "b"), person(2, "a", "b")]))
    original = sql.load_staged
    monkeypatch.setattr(sql, "load_staged", lambda *load: original(*load).replace(r"'\Z", r"'\Zx"))
    with pytest.raises(RowCountError, match="loaded 0 rows"):
        target.import_batch(batch)


def test_a_replica_that_lacks_a_column_of_the_part_is_named(target_for: TargetFor) -> None:
    target = target_for(FIRST)
    target.query(f"ALTER TABLE {target.mapping.database}.People__replica DROP COLUMN phone")
    with pytest.raises(TargetMismatchError, match="phone"):
        target.import_batch(target.write_bytes(encode_labelled(target.mapping, [person(1, "a@b", "1")])))


def test_a_gone_object_of_labelled_rows_was_imported(target_for: TargetFor) -> None:
    target = target_for(FIRST)
    batch = target.write_bytes(encode_labelled(target.mapping, [person(1, "a@b", "1")]))
    target.import_batch(batch)
    S3Objects().delete(target.bucket, batch.objects[0].key)
    assert target.import_batch(batch).status == "already_applied"


# What the merge makes of rows of several generations


def test_the_newer_generation_wins_at_the_same_version_and_only_there(target_for: TargetFor, change: Change) -> None:
    first = target_for(FIRST)
    target = change(first, GAINED)
    old = encode_labelled(first.mapping, [person(5, "a@b", "1")])
    new = encode_labelled(target.mapping, [person(5, "a@b", "1", "Rome")])
    for bodies in ([old, new], [new, old]):
        target.execute(f"DELETE FROM {target.mapping.database}.People__replica")
        changed = [target.import_batch(target.write_bytes(body)).rows_changed for body in bodies]
        assert people(target, "city", "_mapping", "_version") == [("Rome", 2, 5)]
        assert sum(changed) == 1 + (bodies[0] == old)
    target.import_batch(target.write_bytes(encode_labelled(target.mapping, [person(4, "x", "y", "z")])))
    assert people(target, "city", "_mapping", "_version") == [("Rome", 2, 5)]


def test_a_newer_row_of_an_older_mapping_takes_away_what_it_does_not_know(
    target_for: TargetFor, change: Change
) -> None:
    first = target_for(FIRST)
    target = change(first, GAINED)
    target.query(f"ALTER TABLE {target.mapping.database}.People__replica ADD COLUMN notes VARCHAR(9) NULL")
    target.import_batch(target.write_bytes(encode_labelled(target.mapping, [person(5, "a@b", "1", "Rome")])))
    target.execute(f"UPDATE {target.mapping.database}.People__replica SET notes = 'ours'")
    target.import_batch(target.write_bytes(encode_labelled(first.mapping, [person(6, "b@b", "2")])))
    assert people(target, "email", "phone", "city", "notes", "_mapping") == [("b@b", "2", None, "ours", 1)]


def test_a_mapping_that_comes_back_is_its_latest_generation(target_for: TargetFor, change: Change) -> None:
    first = target_for(FIRST)
    target = change(change(first, SWAPPED), FIRST)
    target.import_batch(target.write_bytes(encode_labelled(first.mapping, [person(1, "a@b", "1")])))
    assert people(target, "email", "_mapping") == [("a@b", 3)]


TIME = ("changed", "BIGINT", "@changed_at_ms")
SECOND = 10**40


def test_a_backfill_that_completes_rows_leaves_the_time_of_their_change(target_for: TargetFor, change: Change) -> None:
    first = target_for(make_people(EMAIL, TIME))
    rows = [person(7 * SECOND + 3, f"{key}@b", "700", key=key) for key in ("ann", "bea", "Cid")]
    first.import_batch(first.write_bytes(encode_labelled(first.mapping, rows)))
    target = change(first, make_people(EMAIL, CITY, TIME))
    completed = [
        person(9 * SECOND, "ann@b", "Rome", "900"),
        person(9 * SECOND, "BEA@b", "Oslo", "900", key="bea"),  # a change that the stream has lost
        person(9 * SECOND, "Cid@b", None, "900", key="Cid"),
        person(9 * SECOND, "new@b", None, "900", key="dan"),
    ]
    batch = dataclasses.replace(target.write(completed, 4), source="backfill", digest=target.mapping.digest)
    assert target.import_batch(batch).rows_changed == 4
    expected = [("Cid", "Cid@b", None, 700, 2), ("ann", "ann@b", "Rome", 700, 2), ("bea", "BEA@b", "Oslo", 900, 2)]
    columns = "id", "email", "city", "changed", "_mapping"
    assert sorted(people(target, *columns)) == [*expected, ("dan", "new@b", None, 900, 2)]
    streamed = encode_labelled(target.mapping, [person(9 * SECOND + 1, "ann@b", "Rome", "901")])
    target.import_batch(target.write_bytes(streamed))
    assert ("ann", "ann@b", "Rome", 901, 2) in people(target, *columns)
