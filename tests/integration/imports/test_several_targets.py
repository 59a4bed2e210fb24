"""One table's changes in several targets: their tables, and parts of one batch that are loaded into each of them."""

import base64
import json

import pytest

from dynaurora.aurora.column_changes import Patience
from dynaurora.aurora.connection import connect
from dynaurora.aurora.fills import Fill, read_fills, settle_fills
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import prepare_target
from dynaurora.aurora.staging import read_staging
from dynaurora.aws.objects import S3Objects
from dynaurora.dynamodb.attributes import plain_item
from dynaurora.errors import ColumnsRefusedError, UnregisteredMappingError
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.target.alterations import find_alterations
from dynaurora.target.change_mapping import apply_change, plan_change, show_targets
from dynaurora.target.check_target import check_rights, check_tables, find_unfilled_targets
from dynaurora.verification.compare_items import compare_table
from tests.integration.targets import Target, TargetFor, in_database
from tests.support.several_targets import KEYS, OPEN, SHUT, TOTAL, USERS, Document, change, several, target
from tests.support.transforming import make_transformer, packed

pytestmark = pytest.mark.integration


@pytest.fixture
def app(target_for: TargetFor) -> Target:
    return target_for(several())


def stream(app: Target, *changes, mapping: Mapping | None = None):
    """Transform changes, as the stream does, and import what comes of them."""
    mapping = mapping or app.mapping
    answer = make_transformer(mapping).transform([packed(*changes, mapping=mapping)])
    body = b"".join(base64.b64decode(record["data"]) for record in answer.records)
    batch = app.write_bytes(body)
    return batch, app.import_batch(batch)


def keys_in(app: Target, table: str) -> list[str]:
    return [sk for (sk,) in app.query(f"SELECT sk FROM {app.mapping.database}.{table} ORDER BY sk")]


def versions_in(app: Target, table: str) -> list[tuple]:
    return app.query(f"SELECT sk, _deleted, _version FROM {app.mapping.database}.{table}__replica ORDER BY sk")


def test_one_batch_is_loaded_into_each_target_once(app: Target) -> None:
    user, opened = change(1, "USER#1", email="a@b"), change(2, "ORDER#1", status="open", total=5)
    batch, result = stream(app, user, opened)
    assert (result.status, result.rows_staged, result.rows_changed) == ("applied", 3, 3)
    assert [keys_in(app, table) for table in ("Users", "OpenOrders", "ShutOrders")] == [["USER#1"], ["ORDER#1"], []]
    assert versions_in(app, "ShutOrders") == [("ORDER#1", 1, 2)]
    assert app.import_batch(batch).status == "already_applied"
    assert len(app.ledger()) == 3


def test_an_item_moves_between_targets_whatever_the_order(app: Target) -> None:
    stream(app, change(3, "ORDER#1", status="shut", total=5))
    stream(app, change(2, "ORDER#1", status="open", total=5))
    assert [keys_in(app, table) for table in ("OpenOrders", "ShutOrders")] == [[], ["ORDER#1"]]
    stream(app, change(5, "ORDER#1"))
    stream(app, change(4, "ORDER#1", status="open", total=5))
    assert [keys_in(app, table) for table in ("OpenOrders", "ShutOrders")] == [[], []]


def test_rows_of_a_target_that_is_taken_out_are_still_imported(app: Target) -> None:
    before, mapping = app.mapping, in_database(several(USERS, OPEN), app.mapping.database)
    with connect(app.endpoint, app.administrator) as aurora:
        prepare_target(aurora, mapping)
        activate(aurora, mapping)
    app.mapping = mapping
    stream(app, change(1, "ORDER#1", status="shut", total=5), mapping=before)
    assert keys_in(app, "ShutOrders") == ["ORDER#1"]


def test_rows_of_a_target_that_no_mapping_has_are_refused_by_name(app: Target) -> None:
    label = f"\x1aNobody.{app.mapping.digest[:16]},".encode()
    with pytest.raises(UnregisteredMappingError, match="writes Users, OpenOrders, ShutOrders, and not Nobody"):
        app.import_batch(app.write_bytes(label + b"0,1,p,USER#1\n"))
    assert app.ledger() == {}


def test_each_target_is_compared_with_the_items_that_it_takes(app: Target) -> None:
    user, opened = change(1, "USER#1", email="a@b"), change(2, "ORDER#1", status="open", total=5)
    stream(app, user, opened)
    app.execute(f"UPDATE {app.mapping.database}.OpenOrders__replica SET total = 6")
    items = [each.new_image or {} for each in (user, opened, change(3, "USER#2", email="b@b"))]
    assert [plain_item(item)["SK"] for item in items] == ["USER#1", "ORDER#1", "USER#2"]
    with app.connect() as aurora:
        found = compare_table(app.mapping, items, aurora)
    assert (found.items, found.rows) == (3, 2)
    assert (found.identical, found.missing, found.differing, found.skipped, found.agrees) == (1, 1, 1, 6, False)


def test_a_plan_tells_of_every_target_and_applying_does_all(app: Target) -> None:
    app.execute(f"DROP TABLE IF EXISTS {app.mapping.database}.AllOrders__replica")
    new = target("AllOrders", "starts_with(SK, 'ORDER#')", TOTAL)
    more = {**USERS, "columns": [*USERS["columns"], {"name": "name", "type": "VARCHAR(20)", "from": "name"}]}
    document = json.loads(several(more, OPEN, {**SHUT, "when": "status != 'open'"}, new).text)
    mapping = in_database(build_mapping("app", document), app.mapping.database)
    with connect(app.endpoint, app.administrator) as aurora:
        plan = plan_change(aurora, mapping)
        assert plan["add"] == [{"column": "Users.name", "type": "VARCHAR(20)"}]
        assert [each["creates"] for each in plan["targets"]] == [False, False, False, True]
        assert (plan["sweep"], plan["undecided"]) == (["ShutOrders", "AllOrders"], ["OpenOrders", "ShutOrders"])
        assert plan["active"] == app.mapping.digest
        applied = apply_change(aurora, mapping, S3Objects(), app.bucket, Patience(5))
        assert applied["generation"] == 2
        check_tables(aurora, mapping)
        again = plan_change(aurora, mapping)
    assert (again["alters"], again["creates"]) == (False, False)
    assert (again["sweep"], again["hidden"]) == (["ShutOrders", "AllOrders"], ["AllOrders"])
    app.mapping = mapping
    stream(app, change(1, "ORDER#1", status="open", total=5))
    assert keys_in(app, "OpenOrders") == ["ORDER#1"]
    assert versions_in(app, "AllOrders") == [("ORDER#1", 0, 1)]
    with app.connect() as aurora:
        check_rights(aurora, mapping)


def change_targets(app: Target, *targets: Document) -> None:
    """Have other targets, as a person does."""
    app.mapping = in_database(several(*targets), app.mapping.database)
    with connect(app.endpoint, app.administrator) as aurora:
        apply_change(aurora, app.mapping, S3Objects(), app.bucket, Patience(5))


def find_views(app: Target) -> set[str]:
    return {name for name, _ in app.query(f"SHOW FULL TABLES FROM {app.mapping.database} WHERE Table_type = 'VIEW'")}


ALL = target("AllOrders", "starts_with(SK, 'ORDER#')", TOTAL)


@pytest.fixture
def grown(app: Target) -> Target:
    """A mapping that was deployed, and has got one more target, of which a view was left behind."""
    for kind, name in (("TABLE", "AllOrders__replica"), ("VIEW", "AllOrders")):
        app.execute(f"DROP {kind} IF EXISTS {app.mapping.database}.{name}")
    app.execute(f"CREATE VIEW {app.mapping.database}.AllOrders AS SELECT * FROM {app.mapping.database}.Users")
    change_targets(app, USERS, OPEN, SHUT, ALL)
    return app


def test_the_targets_of_a_first_deployment_are_seen_at_once(app: Target) -> None:
    assert {"Users", "OpenOrders", "ShutOrders"} <= find_views(app)
    with app.connect() as aurora:
        assert read_fills(aurora, app.mapping) == []


def test_a_new_target_is_seen_once_a_backfill_of_its_generation_has_filled_it(grown: Target) -> None:
    assert "AllOrders" not in find_views(grown)
    stream(grown, change(1, "ORDER#1", status="open", total=5))
    assert versions_in(grown, "AllOrders") == [("ORDER#1", 0, 1)]
    with grown.connect() as aurora:
        assert read_fills(aurora, grown.mapping) == [Fill("AllOrders", 2, hides_view=True, run=None)]
        check_tables(aurora, grown.mapping)
        assert list(find_alterations(aurora, grown.mapping)) == []
        assert list(find_unfilled_targets(aurora, grown.mapping)) == [
            "AllOrders is new since generation 2: it has no view before it is filled"
        ]
        settle_fills(aurora, grown.mapping, "of-the-mapping-before", 1)
    change_targets(grown, USERS, OPEN, SHUT, ALL | {"unmapped": "reject"})
    assert "AllOrders" not in find_views(grown), "whatever is deployed meanwhile"
    with grown.connect() as aurora:
        settle_fills(aurora, grown.mapping, "r1", 2)
        assert read_fills(aurora, grown.mapping) == [Fill("AllOrders", 2, hides_view=True, run="r1")]
        check_tables(aurora, grown.mapping)
    with connect(grown.endpoint, grown.administrator) as aurora:
        assert show_targets(aurora, grown.mapping) == ["AllOrders"]
        assert show_targets(aurora, grown.mapping) == []
        assert (read_fills(aurora, grown.mapping), plan_change(aurora, grown.mapping)["sweep"]) == ([], [])
    assert keys_in(grown, "AllOrders") == ["ORDER#1"]


def test_a_target_whose_condition_changes_goes_on_serving(app: Target) -> None:
    stream(app, change(1, "ORDER#1", status="open", total=5))
    change_targets(app, USERS, OPEN | {"when": "status == 'late'"}, SHUT)
    assert keys_in(app, "OpenOrders") == ["ORDER#1"]
    with app.connect() as aurora:
        assert list(find_unfilled_targets(aurora, app.mapping)) == [
            "OpenOrders may have rows that left it, and lack others, since generation 2"
        ]
        settle_fills(aurora, app.mapping, "r1", 2)
        assert read_fills(aurora, app.mapping) == []


def test_a_new_target_that_changes_its_condition_is_filled_by_a_later_run_only(grown: Target) -> None:
    change_targets(grown, USERS, OPEN, SHUT, ALL | {"when": "total > `3`"})
    with grown.connect() as aurora:
        settle_fills(aurora, grown.mapping, "r1", 2)
        assert read_fills(aurora, grown.mapping) == [Fill("AllOrders", 3, hides_view=True, run=None)]


def test_nothing_is_changed_where_one_target_is_refused(app: Target) -> None:
    narrow = {**OPEN, "columns": [*KEYS, {**TOTAL, "type": "VARCHAR(9)"}]}
    mapping = in_database(several(target("Before", "SK"), USERS, narrow), app.mapping.database)
    with connect(app.endpoint, app.administrator) as aurora:
        assert plan_change(aurora, mapping)["refuse"][0].startswith("OpenOrders: total")
        with pytest.raises(ColumnsRefusedError, match="OpenOrders__replica"):
            prepare_target(aurora, mapping)
        tables = [name for (name,) in aurora.query(f"SHOW TABLES FROM {mapping.database} LIKE 'Before%%'")]
    assert tables == []


def test_a_new_target_is_staged_as_the_others_are(app: Target) -> None:
    mapping = in_database(several(USERS, target("Fresh", "SK")), app.mapping.database)
    with connect(app.endpoint, app.administrator) as aurora:
        before = read_staging(aurora, app.mapping)
        apply_change(aurora, mapping, S3Objects(), app.bucket, Patience(5))
        assert read_staging(aurora, mapping.targets[1]) == before
