"""A rebuild in the real database: a second table that is written too, the switch of the view, and what is left."""

import base64
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

from backfill.commands import mapping_rebuild
from backfill.deployment.changing import ByConnection
from dynaurora import keys
from dynaurora.aurora.column_changes import Patience
from dynaurora.aurora.connection import Aurora, connect
from dynaurora.aurora.fills import has_view, read_fills, settle_fills
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import ColumnsRefusedError
from dynaurora.mappings.mapping import Mapping, build_mapping, load_mapping_file
from dynaurora.mappings.rebuilds import compose_rebuild, write_replica
from dynaurora.mappings.registry import Registry
from dynaurora.target.change_mapping import apply_change, plan_change, show_targets
from dynaurora.target.check_target import check_tables, find_unfilled_targets
from dynaurora.target.left_replicas import describe_left, drop_left
from tests.integration.targets import Target, TargetFor, in_database
from tests.support.several_targets import change, several, target
from tests.support.transforming import make_transformer, packed

pytestmark = pytest.mark.integration

SMALL, LARGE = {"name": "total", "type": "TINYINT", "from": "total"}, {"name": "sum", "type": "BIGINT", "from": "total"}
Document = dict[str, Any]


def orders(column: Document, **more: Any) -> Mapping:
    """Return a mapping of orders, with a column of their totals."""
    return several(target("Orders", "", column, **more))


@pytest.fixture
def app(target_for: TargetFor) -> Iterator[Target]:
    app = target_for(orders(SMALL))
    replicas = [f"{app.mapping.database}.Orders__replica{ending}" for ending in ("", "_2", "_3")]
    app.execute(f"DROP TABLE IF EXISTS {', '.join(replicas[1:])}")
    apply(app, app.mapping)
    yield app
    app.execute(f"DROP TABLE IF EXISTS {', '.join(replicas)}")


def apply(app: Target, mapping: Mapping) -> None:
    with connect(app.endpoint, app.administrator) as aurora:
        apply_change(aurora, mapping, S3Objects(), app.bucket, Patience(5))
    app.mapping = mapping


def plan(app: Target, mapping: Mapping) -> Document:
    with connect(app.endpoint, app.administrator) as aurora:
        return plan_change(aurora, mapping)


def make_wanted(app: Target) -> Mapping:
    """Return what is wanted, in a second table, as the command writes it into the file."""
    text = in_database(orders(LARGE), app.mapping.database).text
    return parse(write_replica(text, "Orders", "Orders__replica_2"))


def parse(text: str) -> Mapping:
    return build_mapping("app", json.loads(text), text=text)


def write(mapping: Mapping, *changes: Any) -> bytes:
    """Return the rows of changes, as the stream's transformation by a mapping writes them."""
    answer = make_transformer(mapping).transform([packed(*changes, mapping=mapping)])
    return b"".join(base64.b64decode(record["data"]) for record in answer.records)


def stream(app: Target, *changes: Any) -> None:
    app.import_batch(app.write_bytes(write(app.mapping, *changes)))


def fill(app: Target) -> None:
    """Have it known that a run has filled what is being filled."""
    with app.connect() as aurora:
        settle_fills(aurora, app.mapping, "r1", 10**6)


def rows(app: Target, table: str = "Orders") -> list[tuple[Any, ...]]:
    return app.query(f"SELECT * FROM {app.mapping.database}.{table}")


@contextmanager
def read_all_the_time(app: Target) -> Iterator[list[object]]:
    """Read the view until the block ends; give what it showed, errors too."""
    seen: list[object] = []
    ended = threading.Event()

    def read() -> None:
        with connect(app.endpoint, app.administrator) as aurora:
            while not ended.is_set():
                try:
                    with aurora.transaction():
                        seen.append(aurora.query(f"SELECT * FROM {app.mapping.database}.Orders")[0][-1])
                except Exception as error:  # noqa: BLE001 (it is what the test is about)
                    seen.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def test_a_refused_change_names_what_a_rebuild_would_have(app: Target) -> None:
    wanted = in_database(orders(LARGE), app.mapping.database)
    planned = plan(app, wanted)
    assert any("another name for total" in reason for reason in planned["refuse"])
    assert (planned["free_replicas"], planned["rebuilding"]) == ({"Orders": "Orders__replica_2"}, {})
    (reason,) = plan(app, make_wanted(app))["refuse"]
    assert "its rows are in Orders__replica, which is not Orders__replica_2" in reason


def test_both_tables_are_written_and_the_view_is_switched_in_one_statement(app: Target) -> None:
    stream(app, change(1, "a", total=5))
    old, wanted = app.mapping, make_wanted(app)
    both = compose_rebuild(old, wanted)
    apply(app, both)
    stream(app, change(2, "a", total=6))
    assert rows(app) == [("p", "a", 6)]
    assert [row[-1] for row in rows(app, "Orders__replica_2")] == [6]
    with connect(app.endpoint, app.administrator) as aurora:
        assert not has_view(aurora, both.targets[1])
        check_tables(aurora, both)
        assert "Orders is being rebuilt, its second table is being filled" in next(find_unfilled_targets(aurora, both))
    (reason,) = plan(app, wanted)["refuse"]
    assert reason == "Orders__replica_2 is not filled yet, and Orders__replica serves"
    with pytest.raises(ColumnsRefusedError):
        apply(app, wanted)
    fill(app)
    with connect(app.endpoint, app.administrator) as aurora:
        assert show_targets(aurora, both) == [], "its view is that of the first table"
    late = [write(mapping, change(3 + number, "a", total=7 + number)) for number, mapping in enumerate((old, both))]
    with read_all_the_time(app) as seen:
        apply(app, wanted)
    assert set(seen) <= {6}
    for batch in late:
        app.import_batch(app.write_bytes(batch))
    stream(app, change(5, "b", total=1000))
    assert rows(app) == [("p", "a", 8), ("p", "b", 1000)]
    with app.connect() as aurora:
        check_tables(aurora, wanted)
        assert read_fills(aurora, wanted) == []
    assert plan(app, wanted)["sweep"] == []


def test_the_mapping_before_is_gone_back_to(app: Target) -> None:
    old, wanted = app.mapping, make_wanted(app)
    apply(app, compose_rebuild(old, wanted))
    assert plan(app, wanted)["before"] == old.text
    apply(app, parse(plan(app, wanted)["before"]))
    stream(app, change(1, "a", total=5))
    assert rows(app) == [("p", "a", 5)]
    with app.connect() as aurora:
        assert read_fills(aurora, old) == []


def test_after_the_switch_the_way_back_is_a_rebuild_too(app: Target) -> None:
    old, wanted = app.mapping, make_wanted(app)
    switch(app, old, wanted)
    stream(app, change(1, "a", total=5))
    before = parse(plan(app, wanted)["before"])
    assert before.digest == old.digest
    with pytest.raises(ColumnsRefusedError):
        apply(app, before)
    switch(app, wanted, before)
    stream(app, change(2, "b", total=6))
    assert ("p", "b", 6) in rows(app)


def switch(app: Target, active: Mapping, wanted: Mapping) -> None:
    """Rebuild from one mapping to another."""
    apply(app, compose_rebuild(active, wanted))
    fill(app)
    apply(app, wanted)


def test_what_is_left_goes_once_nothing_is_on_its_way(app: Target) -> None:
    old, wanted = app.mapping, make_wanted(app)
    left = [{"replica": f"{app.mapping.database}.Orders__replica", "rows": 0, "bytes": 16384}]
    apply(app, compose_rebuild(old, wanted))
    with connect(app.endpoint, app.administrator) as aurora:
        assert describe_left(aurora, wanted)["left"] == []
        fill(app)
        apply(app, wanted)
        assert drop_left(aurora, wanted)["left"] == left
        assert describe_left(aurora, wanted)["left"] == left, "rows may be on their way"
        aurora.execute(f"UPDATE {app.mapping.database}._dynaurora_mappings SET activated_at = '2020-01-01'")
        assert drop_left(aurora, wanted) == {"left": left, "wait_seconds": 0}
        assert describe_left(aurora, wanted)["left"] == []
        check_tables(aurora, wanted)


class KilledError(BaseException):
    """The process ends here."""


CHANGING = ("CREATE", "ALTER", "DROP", "INSERT", "DELETE", "UPDATE")


@contextmanager
def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """End the process before the statement of a number that changes something; give it, if there was one."""
    numbers, killed = itertools.count(1), []
    original = Aurora.execute

    def execute(self: Aurora, statement: str, *values: Any) -> Any:
        if statement.startswith(CHANGING) and "TEMPORARY" not in statement and next(numbers) == number:
            killed.append(statement)
            raise KilledError
        return original(self, statement, *values)

    with monkeypatch.context() as context:
        context.setattr(Aurora, "execute", execute)
        with suppress(KilledError):
            yield killed


def test_killed_before_any_statement_it_goes_on(app: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    stream(app, change(1, "a", total=5))
    both = compose_rebuild(app.mapping, make_wanted(app))
    for mapping in (both, make_wanted(app)):
        before = plan(app, mapping)["active"]
        for number in itertools.count(1):
            with killed_at(number, monkeypatch) as killed:
                apply(app, mapping)
            if not killed:
                break
            assert plan(app, mapping)["active"] in {before, mapping.digest}
            assert Registry(S3Objects(), app.bucket, "app").find_current().digest == before
            assert len(rows(app)) == 1, "there is a view at any time"
        assert plan(app, mapping)["active"] == mapping.digest
        app.import_batch(app.write_bytes(write(app.mapping, change(2, "a", total=6))))
        fill(app)
    assert rows(app) == [("p", "a", 6)]


@pytest.mark.parametrize("number", range(1, 6))
def test_killed_before_any_statement_it_goes_back(app: Target, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    old, wanted = app.mapping, make_wanted(app)
    stream(app, change(1, "a", total=5))
    apply(app, compose_rebuild(old, wanted))
    fill(app)
    with killed_at(number, monkeypatch) as killed:
        apply(app, wanted)
    assert bool(killed) == (plan(app, wanted)["active"] != wanted.digest)
    if killed:
        apply(app, old)
        assert rows(app) == [("p", "a", 5)]


# The command, step by step; a backfill is one that succeeded


@pytest.fixture
def file(app: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of what is wanted; whatever fills the second table succeeds."""
    monkeypatch.setattr(mapping_rebuild.Rebuild, "fill", lambda *_, **__: fill(app))
    file = tmp_path / "app.json"
    file.write_text(in_database(orders(LARGE), app.mapping.database).text)
    return file


def begin(app: Target, file: Path) -> mapping_rebuild.Rebuild:
    """Return the rebuild as somebody finds it who gives the command now."""
    way = ByConnection(app.endpoint, app.administrator, app.bucket)
    deployment: Any = SimpleNamespace(bucket=app.bucket, mapping="app", ignores_expiries=False)
    return mapping_rebuild.Rebuild(way, cast("Any", None), deployment, file, load_mapping_file(file), None, 5)


def take_steps(rebuild: mapping_rebuild.Rebuild, most: int = 3) -> tuple[str, ...]:
    """Take so many of the steps that are left, and return all of them."""
    steps = rebuild.find_steps()
    mapping_rebuild.carry_out(rebuild, steps[:most], 1.0, as_json=False)
    return steps


def test_the_command_goes_on_from_each_step(app: Target, file: Path) -> None:
    stream(app, change(1, "a", total=5))
    taken = []
    while steps := take_steps(begin(app, file), 1):
        taken.append(steps)
        batch = write(begin(app, file).active, change(1 + len(taken), "a", total=6))
        app.import_batch(app.write_bytes(batch))
        assert rows(app) == [("p", "a", 6)]
    assert taken == [("write both", "fill", "switch"), ("fill", "switch"), ("switch",)]
    assert load_mapping_file(file).replica == "Orders__replica_2"
    assert plan(app, load_mapping_file(file))["active"] == load_mapping_file(file).digest


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_the_command_goes_back_from_each_step(app: Target, file: Path, taken: int) -> None:
    take_steps(begin(app, file), taken)
    rebuild = begin(app, file)
    mapping_rebuild.go_back(rebuild)
    is_switched = taken == 3
    steps = rebuild.find_steps() if is_switched else ("go back",)
    told = dict(mapping_rebuild.tell_rebuild(rebuild, mapping_rebuild.describe_rebuild(rebuild, steps)))
    assert ("3 switch" in told) == is_switched
    mapping_rebuild.carry_out(rebuild, steps, 1.0, as_json=False)
    assert rebuild.active.replica == ("Orders__replica_3" if is_switched else "Orders__replica")
    assert load_mapping_file(file).digest == rebuild.active.digest
    stream_after = rebuild.active
    app.import_batch(app.write_bytes(write(stream_after, change(2, "b", total=7))))
    assert rows(app) == [("p", "b", 7)]
    assert begin(app, file).find_steps() == ()


def test_a_way_back_that_was_cut_short_keeps_the_name_of_its_table(app: Target, file: Path) -> None:
    """It was, when the file was written; and a file of before that somebody has put back is given another table."""
    before = app.mapping.text
    take_steps(begin(app, file))
    file.write_text(before)
    rebuild = begin(app, file)
    assert rebuild.find_steps() == ("write both", "fill", "switch")
    assert rebuild.wanted.replica == "Orders__replica_3"
    file.write_text(rebuild.wanted.text)
    app.execute(f"CREATE TABLE {app.mapping.database}.Orders__replica_3 LIKE {app.mapping.database}.Orders__replica")
    rebuild = begin(app, file)
    mapping_rebuild.go_back(rebuild)
    rebuild.find_steps()
    assert rebuild.wanted.replica == "Orders__replica_3"


def test_an_item_that_was_deleted_before_does_not_come_back_in_the_second_table(app: Target, file: Path) -> None:
    """What was refused of it is taken up again once the column is wide enough for it."""
    refused = change(1, "a", total=1000)
    stream(app, change(2, "a"))
    take_steps(begin(app, file))
    app.import_batch(app.write_bytes(write(begin(app, file).active, refused, change(1, "b", total=5))))
    assert rows(app) == [("p", "b", 5)]


def test_a_file_that_changes_meanwhile_or_needs_no_rebuild_is_told(app: Target, file: Path) -> None:
    take_steps(begin(app, file), 1)
    file.write_text(file.read_text().replace("BIGINT", "DOUBLE"))
    with pytest.raises(click.ClickException, match=r"to another file goes on.*mapping rebuild app --back"):
        begin(app, file).find_steps()
    rebuild = begin(app, file)
    mapping_rebuild.go_back(rebuild)
    mapping_rebuild.carry_out(rebuild, ("go back",), 1.0, as_json=False)
    with pytest.raises(click.ClickException, match="There is no rebuild of app to go back from"):
        mapping_rebuild.go_back(begin(app, file))
    wider = in_database(orders(SMALL | {"description": "of all lines"}), app.mapping.database)
    file.write_text(wider.text.replace('"Orders",', '"Orders", "unmapped": "reject",'))
    with pytest.raises(click.ClickException, match="Nothing of this needs a rebuild: dynaurora mapping apply app"):
        begin(app, file).find_steps()


def test_what_is_left_is_not_dropped_while_rows_for_it_may_come(app: Target, file: Path) -> None:
    take_steps(begin(app, file), 1)
    left = {"left": [{"replica": "Demo.Orders__replica"}], "wait_seconds": 61}
    with pytest.raises(click.ClickException, match="A rebuild goes on"):
        mapping_rebuild.refuse_drop(begin(app, file), left)
    take_steps(begin(app, file))
    with pytest.raises(click.ClickException, match="in 2 minutes"):
        mapping_rebuild.refuse_drop(begin(app, file), left)
    S3Objects().write(app.bucket, f"{keys.failed_batches_prefix('app')}one.json", b"{}")
    with pytest.raises(click.ClickException, match="Failed batches may have rows for these tables"):
        mapping_rebuild.refuse_drop(begin(app, file), left | {"wait_seconds": 0})
