"""Columns that come and go: planned, carried out while imports go on, refused by name, found done after a death."""

import dataclasses
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from dynaurora.aurora import column_changes, column_plan
from dynaurora.aurora.column_changes import Patience
from dynaurora.aurora.column_plan import ColumnPlan, plan_columns
from dynaurora.aurora.connection import connect
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import prepare_target, read_earlier
from dynaurora.aurora.replica_columns import check_replica
from dynaurora.errors import ColumnsRefusedError, DynauroraError, InvalidMappingError, LockWaitError
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.mappings.rows import Row
from tests.infrastructure.deployment import PROJECT
from tests.integration.servers import needs_mysql, server_version
from tests.integration.targets import Target, TargetFor, row
from tests.support.example import load_example
from tests.support.factories import column, mapping_document
from tests.support.labelled_rows import encode_labelled
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

EMAIL, PHONE = column("email", "VARCHAR(40)"), column("phone", "VARCHAR(40)")
REPLICA, VIEW = "Demo.Things__replica", "Demo.Things"
READERS = "SELECT id FROM information_schema.processlist WHERE state = 'User sleep'"


def things(*columns: dict[str, str], **options: Any) -> Mapping:
    return build_mapping("things", mapping_document(*columns, **options))


def prepare(target: Target, mapping: Mapping, **options: Any) -> Target:
    """Prepare as a deployment does, and return the target as imports have it then."""
    with connect(target.endpoint, target.administrator) as aurora:
        prepare_target(aurora, mapping, **options)
        activate(aurora, mapping)
    return dataclasses.replace(target, mapping=mapping)


def plan(target: Target, mapping: Mapping, **options: Any) -> ColumnPlan:
    with connect(target.endpoint, target.administrator) as aurora:
        return plan_columns(aurora, mapping, *read_earlier(aurora, mapping), **options)


def write(target: Target, key: str, version: int = 1) -> None:
    """Import an item whose attributes are their own names and the key, by the target's mapping."""
    values = (key if each.source == "id" else f"{each.source} of {key}" for each in target.mapping.columns)
    target.import_batch(target.write_bytes(encode_labelled(target.mapping, [Row(False, version, tuple(values))])))


@pytest.fixture
def first(target_for: TargetFor) -> Target:
    target = target_for(things(EMAIL, PHONE))
    prepared = prepare(target, target.mapping)
    write(prepared, "old")
    return prepared


def shown(target: Target) -> list[str]:
    return [name for name, *_ in target.query(f"SHOW COLUMNS FROM {VIEW}")]


def test_columns_are_added_wherever_the_mapping_has_them(first: Target) -> None:
    mapping = things(column("city", "VARCHAR(60)"), EMAIL, column("born", "DATE"), PHONE, unmapped={"column": "rest"})
    found = plan(first, mapping)
    assert [each.name for each in found.adds] == ["city", "born", "rest"]
    assert (found.fills, found.refusals, found.rows) == (("city", "born", "rest"), (), 1)
    assert len(found.statements) == 2
    assert "ALGORITHM=INSTANT" in found.statements[0]
    prepare(first, mapping)
    assert shown(first) == ["id", "city", "email", "born", "phone", "rest"]
    assert first.query(f"SELECT id, city, email, rest FROM {VIEW}") == [("old", None, "email of old", None)]
    assert not plan(first, mapping).alters


def test_a_dropped_column_is_kept_and_written_no_longer_until_it_is_asked_to_go(first: Target) -> None:
    first.query(f"ALTER TABLE {REPLICA} ADD COLUMN theirs INT NULL")
    less = prepare(first, things(EMAIL))
    write(less, "new")
    assert shown(first) == ["id", "email"]
    assert first.query(f"SELECT id, phone FROM {REPLICA} ORDER BY id") == [("new", None), ("old", "phone of old")]
    found = plan(first, things(EMAIL))
    assert (found.keeps, found.others, found.alters) == (("phone",), ("theirs",), False)
    with pytest.raises(ColumnsRefusedError, match="phone can go in 30 minutes: batches"):
        prepare(first, things(EMAIL), drop=True)
    let_time_pass(first)
    with pytest.raises(ColumnsRefusedError, match="phone can go once a mapping without is the active one"):
        prepare(first, things(EMAIL, column("city", "INT")), drop=True)
    assert plan(first, things(EMAIL), drop=True).drops == ("phone",)
    prepare(first, things(EMAIL), drop=True)
    assert [name for name, *_ in first.query(f"SHOW COLUMNS FROM {REPLICA}")][-2:] == ["email", "theirs"]


def let_time_pass(target: Target) -> None:
    """Have the active mapping be so for an hour."""
    with connect(target.endpoint, target.administrator) as aurora, aurora.transaction():
        aurora.execute("UPDATE Demo._dynaurora_mappings SET activated_at = activated_at - INTERVAL 1 HOUR")


def test_a_column_that_comes_back_is_the_one_that_was_kept(first: Target) -> None:
    prepare(first, things(EMAIL))
    again = prepare(first, things(EMAIL, PHONE))
    write(again, "new")
    assert first.query(f"SELECT id, phone FROM {VIEW} ORDER BY id") == [
        ("new", "phone of new"),
        ("old", "phone of old"),
    ]


def test_a_longer_text_keeps_its_collation_and_comment(first: Target) -> None:
    collated = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    first.query(f"ALTER TABLE {REPLICA} MODIFY email VARCHAR(40) {collated} NULL COMMENT 'it''s \\\\ theirs'")
    mapping = things(column("email", "VARCHAR(63)"), PHONE)
    assert [each.found.name for each in plan(first, mapping).widens] == ["email"]
    prepare(first, mapping)
    (described,) = (row for row in first.query(f"SHOW FULL COLUMNS FROM {REPLICA}") if row[0] == "email")
    assert (described[1], described[2], described[-1]) == ("varchar(63)", "utf8mb4_bin", "it's \\ theirs")


def test_a_mapping_that_comes_back_leaves_what_was_widened(first: Target) -> None:
    prepare(first, things(column("email", "VARCHAR(63)"), PHONE))
    assert plan(first, things(EMAIL, PHONE)).wider == ("email",)
    back = prepare(first, things(EMAIL, PHONE))
    write(back, "new")
    with pytest.raises(ColumnsRefusedError, match=r"email is varchar\(63\) .* narrower"):
        prepare(first, things(column("email", "VARCHAR(20)"), PHONE))


def test_columns_that_change_places_are_the_same_columns(first: Target) -> None:
    swapped = things(column("email", "VARCHAR(40)", "phone"), column("phone", "VARCHAR(40)", "email"))
    found = plan(first, swapped)
    assert (found.alters, found.fills) == (False, ("email", "phone"))
    assert not plan(first, things(PHONE, EMAIL)).fills


REFUSED = [
    pytest.param([column("email", "INT"), PHONE], r"email is varchar\(40\).* another column", id="retype"),
    pytest.param([column("email", "VARCHAR(64)"), PHONE], "copies the table", id="a longer length"),
    pytest.param([column("email", "VARCHAR(20)"), PHONE], "narrower: what is there may not fit", id="narrow"),
    pytest.param([column("mail", "VARCHAR(40)", "email"), PHONE], "mail is another name for email", id="rename"),
]


@pytest.mark.parametrize(("columns", "reason"), REFUSED)
def test_what_could_lose_something_is_refused_before_anything_is_changed(
    first: Target, columns: list[dict[str, str]], reason: str
) -> None:
    before = first.query(f"SHOW CREATE TABLE {REPLICA}")
    mapping = things(column("city", "VARCHAR(60)"), *columns)
    with pytest.raises(ColumnsRefusedError, match=reason):
        prepare(first, mapping)
    assert first.query(f"SHOW CREATE TABLE {REPLICA}") == before
    assert shown(first) == ["id", "email", "phone"]
    assert plan(first, mapping).as_document()["refuse"]


def test_another_key_is_refused(first: Target) -> None:
    document = mapping_document(EMAIL, PHONE, partition_key="uuid")
    document["target"]["columns"][0]["from"] = "uuid"
    with pytest.raises(ColumnsRefusedError, match="its key is of other attributes"):
        prepare(first, build_mapping("things", document))


class DeadError(Exception):
    """The process is gone."""


def die_after(statements: int, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Work, and die after so many statements that change a table or the view: each is committed by itself."""
    real, done = column_changes.retry, []

    def count(*arguments: Any) -> None:
        if len(done) == statements:
            raise DeadError
        real(*arguments)
        done.append(arguments)

    with monkeypatch.context() as patched:
        patched.setattr(column_changes, "retry", count)
        with pytest.raises(DeadError):
            work()


def test_what_died_between_two_statements_is_found_done_as_far_as_it_came(
    first: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = things(column("city", "VARCHAR(60)"), column("email", "VARCHAR(63)"))
    with connect(first.endpoint, first.administrator) as aurora:
        activate(aurora, mapping)
    let_time_pass(first)
    for life, statements in enumerate([0, 1, 1, 1]):
        die_after(statements, monkeypatch, lambda: prepare(first, mapping, drop=True))
        write(first, f"between {life}")
        with connect(first.endpoint, first.loader) as aurora:
            aurora.query(f"SELECT id, email FROM {VIEW} LIMIT 0")
    assert plan(first, mapping, drop=True).drops == ("phone",)
    write(prepare(first, mapping, drop=True), "after")
    assert shown(first) == ["id", "city", "email"]


GOING_BACK = re.compile(r"ALTER TABLE Demo\.WebAnalytics__replica [^']+")


def test_the_documented_statement_makes_a_replica_what_the_release_before_had(target_for: TargetFor) -> None:
    """0.1.0 compares columns by their places, and refuses any other."""
    target = target_for(load_example())
    (statement,) = GOING_BACK.findall((PROJECT / "docs/deploy.md").read_text("utf-8"))
    target.query(statement)
    columns = [name for name, *_ in target.query("SHOW COLUMNS FROM Demo.WebAnalytics__replica")]
    assert columns == ["_deleted", "_version", *(each.name for each in target.mapping.columns)]
    with connect(target.endpoint, target.administrator) as aurora:
        assert prepare_target(aurora, target.mapping) == [], "and it is upgraded again"
    assert target.import_rows([row("a", 1)]).status == "applied"


@contextmanager
def reading(target: Target) -> Iterator[Callable[[], None]]:
    """Have somebody read the view until the block ends, or what it is given is called."""

    def read() -> None:
        with suppress(DynauroraError), connect(target.endpoint, target.administrator) as aurora:
            aurora.query(f"SELECT SLEEP(600) FROM {VIEW} LIMIT 1")

    def stop() -> None:
        for (number,) in target.query(READERS):
            target.query(f"KILL CONNECTION {number}")

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: target.query(READERS))
    try:
        yield stop
    finally:
        stop()
        reader.join()


@contextmanager
def importing(target: Target) -> Iterator[list[str]]:
    """Import one batch after the other until the block ends; give the keys of those that are imported."""
    imported, done = list[str](), threading.Event()

    def load() -> None:
        while not done.is_set():
            key = f"meanwhile {len(imported)}"
            write(target, key)
            imported.append(key)

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        try:
            yield imported
        finally:
            done.set()
        loading.result()


def test_a_long_query_delays_the_change_and_imports_go_on_meanwhile(
    first: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column_changes, "ALTER_WAIT_SECONDS", 1)
    told, counts = list[str](), list[int]()
    with reading(first) as stop, importing(first) as imported:

        def tell(text: str) -> None:
            told.append(text)
            counts.append(len(imported))
            if counts[-1] > counts[0]:  # it has let one pass, with the query still there
                stop()

        prepare(first, things(EMAIL, PHONE, column("city", "INT")), patience=Patience(60, 0.5, tell))
    assert "Demo.Things is kept by another transaction; open are connection" in told[0]
    assert shown(first) == ["id", "email", "phone", "city"]


def test_a_query_that_does_not_end_has_the_change_be_given_up(first: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_changes, "ALTER_WAIT_SECONDS", 1)
    mapping = things(EMAIL, PHONE, column("city", "INT"))
    with reading(first), pytest.raises(LockWaitError, match="do it again once that has ended"):
        prepare(first, mapping, patience=Patience(2, 0.5))
    prepare(first, mapping)
    assert shown(first) == ["id", "email", "phone", "city"]


def test_a_view_that_is_read_all_the_time_need_not_be_made_anew(first: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_changes, "ALTER_WAIT_SECONDS", 1)
    with reading(first):
        prepare(first, first.mapping, patience=Patience(2, 0.5))


@pytest.mark.parametrize("kind", ["VARCHAR(20)", "VARCHAR(80) CHARACTER SET latin1", "VARBINARY(80)"])
def test_people_s_columns_count_before_anything_is_changed(first: Target, kind: str) -> None:
    theirs = ", ".join(f"ADD COLUMN theirs{index} {kind} NULL" for index in range(90))
    first.query(f"ALTER TABLE {REPLICA} {theirs}")
    mapping = things(EMAIL, PHONE, *(column(f"more{index}", "VARCHAR(30)") for index in range(5)))
    with pytest.raises(
        InvalidMappingError, match=r"a row may take .* The widest are email VARCHAR\(40\), phone VARCHAR"
    ):
        prepare(first, mapping)


def test_a_table_that_the_server_refuses_as_too_large_is_refused_by_the_names_of_its_columns(
    first: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column_plan, "check_page", lambda *_: None)
    document = mapping_document(*(column(f"f{index}", "TEXT") for index in range(400)))
    document["target"]["table"] = "Elsewhere"
    with pytest.raises(InvalidMappingError, match=r"1118.* The widest are f0 TEXT, f1 TEXT"):
        prepare(first, build_mapping("things", document))


def test_kept_columns_count_before_anything_is_changed(first: Target) -> None:
    wide = prepare(first, things(EMAIL, PHONE, *(column(f"f{index}", "VARCHAR(20)") for index in range(90))))
    with pytest.raises(InvalidMappingError, match="a row may take"):
        prepare(wide, things(EMAIL, PHONE, *(column(f"g{index}", "VARCHAR(20)") for index in range(9))))


def test_a_table_that_was_altered_at_once_too_often_is_written_anew(first: Target) -> None:
    needs_mysql(first)
    with connect(first.endpoint, first.administrator) as aurora:
        for index in range(column_plan.limit_row_versions(server_version(first))):
            aurora.execute(f"ALTER TABLE {REPLICA} ADD COLUMN theirs{index} INT NULL, ALGORITHM=INSTANT")
    mapping = things(EMAIL, PHONE, column("city", "INT"))
    found = plan(first, mapping)
    assert found.is_rebuild_due
    assert found.as_document()["rebuild"].endswith("ENGINE=InnoDB, ALGORITHM=INPLACE, LOCK=NONE")
    told: list[str] = []
    prepare(first, mapping, patience=Patience(tell=told.append))
    assert "is written anew" in told[0]
    assert plan(first, mapping).row_versions == 0


@pytest.fixture
def earlier_release(first: Target) -> Target:
    """A replica as the release before made it: without generations."""
    first.query(f"ALTER TABLE {REPLICA} DROP COLUMN _mapping")
    with connect(first.endpoint, first.administrator) as aurora:
        aurora.execute("DROP TABLE Demo._dynaurora_mappings")
        with aurora.transaction():
            aurora.execute("DELETE FROM Demo._dynaurora_migrations WHERE name = '0005_mappings'")
    return first


def test_a_replica_of_an_earlier_release_is_completed_in_one_step(earlier_release: Target) -> None:
    mapping = earlier_release.mapping
    found = plan(earlier_release, mapping)
    assert found.lacks_generation
    assert len(found.statements) == 2
    prepare(earlier_release, mapping)
    with connect(earlier_release.endpoint, earlier_release.loader) as aurora:
        check_replica(aurora, mapping)


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param([EMAIL, PHONE, column("city", "INT")], id="one more"),
        pytest.param([EMAIL], id="one fewer"),
        pytest.param([PHONE, EMAIL], id="another order"),
        pytest.param([column("email", "VARCHAR(61)"), PHONE], id="a longer one"),
    ],
)
def test_an_upgrade_is_refused_that_changes_columns_too(earlier_release: Target, columns: list[dict[str, str]]) -> None:
    """Rows of the release before are loaded by their places, which only the mapping of then knows."""
    before = earlier_release.query(f"SHOW CREATE TABLE {REPLICA}")
    with pytest.raises(ColumnsRefusedError, match="upgrade with the mapping as it was, then deploy the change"):
        prepare(earlier_release, things(*columns))
    assert earlier_release.query(f"SHOW CREATE TABLE {REPLICA}") == before


def test_a_plan_creates_what_is_not_there(first: Target) -> None:
    document = mapping_document(EMAIL)
    document["target"]["table"] = "Elsewhere"
    elsewhere = build_mapping("things", document)
    found = plan(first, elsewhere)
    assert found.creates
    assert [statement.split(" ", 2)[:2] for statement in found.statements] == [["CREATE", "TABLE"], ["CREATE", "OR"]]


STEPS = [
    things(EMAIL, PHONE, column("city", "VARCHAR(40)")),
    things(EMAIL, column("city", "VARCHAR(40)")),
    things(column("email", "VARCHAR(40)", "city"), column("city", "VARCHAR(40)", "email")),
    things(column("email", "VARCHAR(63)", "city"), column("city", "VARCHAR(40)", "email")),
    things(column("email", "VARCHAR(63)"), column("city", "VARCHAR(40)"), unmapped={"column": "rest"}),
    things(EMAIL, PHONE),
]
"""A column is added, dropped; two are swapped, one is widened, what is unmapped gets one; and the first comes back."""


def test_no_value_is_lost_or_misplaced_while_columns_come_and_go(first: Target) -> None:
    """Imports by the mapping of now and by the one before, as batches come that waited, while it changes."""
    wrote: dict[str, Mapping] = {}
    active = [first.mapping]
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            for mapping in active[-2:]:
                key = f"{len(wrote)}"
                write_checked(dataclasses.replace(first, mapping=mapping), key)
                wrote[key] = mapping

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        for step in STEPS:
            prepare(first, step)
            active.append(step)
            time.sleep(0.5)
            with pytest.raises(ColumnsRefusedError):
                prepare(first, things(column("email", "INT"), PHONE))
        done.set()
        loading.result()
    names = [name for name, *_ in first.query(f"SHOW COLUMNS FROM {REPLICA}")]
    rows = {row["id"]: row for row in (dict(zip(names, found, strict=True)) for found in read_all(first))}
    assert rows.keys() == {"old", *wrote}
    for key, mapping in wrote.items():
        written = {each.name for each in mapping.columns}
        assert {name: rows[key][name] for name in written} == expected_of(mapping, key)
        assert not any(rows[key][name] for name in {"email", "phone", "city", "rest"} - written if name in rows[key])


def expected_of(mapping: Mapping, key: str) -> dict[str, str]:
    return {each.name: value for each, value in zip(mapping.columns, make_fields(mapping, key), strict=True)}


def make_fields(mapping: Mapping, key: str) -> tuple[str, ...]:
    return tuple(
        key if each.source == "id" else json.dumps({key: 1}) if each.type.kind == "JSON" else f"{each.source} of {key}"
        for each in mapping.columns
    )


def write_checked(target: Target, key: str) -> None:
    rows = [Row(False, 1, make_fields(target.mapping, key))]
    assert target.import_batch(target.write_bytes(encode_labelled(target.mapping, rows))).status == "applied"


def read_all(target: Target) -> list[tuple[Any, ...]]:
    return target.query(f"SELECT * FROM {REPLICA}")
