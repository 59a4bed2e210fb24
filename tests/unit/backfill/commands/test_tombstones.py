import pytest
from botocore.exceptions import NoRegionError

from backfill.commands import mapping_change, tombstones
from dynaurora.target.change_mapping import describe_routes
from tests.support.several_targets import OPEN, USERS, several

PLAN = {
    **{name: [] for name in ("add", "widen", "drop", "keep", "wider", "others", "refuse", "fill")},
    "rows": 70,
    "creates": False,
    "alters": False,
    "rebuild": None,
    "mapping": "app",
    "digest": "d",
    "active": "e",
}


class Table:
    def describe_table(self, **table):
        assert table == {"TableName": "app"}
        return {"Table": {"ItemCount": 5_000_000}}


def unreachable(service):
    raise NoRegionError


def test_each_item_may_leave_a_tombstone_in_each_target_that_keys_do_not_decide(monkeypatch):
    monkeypatch.setattr(tombstones, "connect_to", lambda _: Table())
    mapping = several()
    plan = PLAN | describe_routes(mapping, None)
    found = tombstones.estimate_tombstones(plan, mapping)
    assert found == {
        "targets": ["OpenOrders", "ShutOrders"],
        "items": 5_000_000,
        "rows_at_most": 10_000_000,
        "usd_a_month": 0.2,
    }
    steps = dict(mapping_change.describe_steps(plan | {"tombstones": found}, None))
    assert "at most 10,000,000 of 5,000,000 items, about $0.20 a month" in steps["tombstones"]


def test_the_replicas_rows_do_where_the_table_cannot_be_asked(monkeypatch):
    monkeypatch.setattr(tombstones, "connect_to", unreachable)
    mapping = several(OPEN)
    found = tombstones.estimate_tombstones(PLAN | describe_routes(mapping, None), mapping)
    assert found is not None
    assert (found["items"], found["rows_at_most"]) == (None, 70)
    assert "at most 70 going by the replicas' rows" in tombstones.tell_tombstones(found)


@pytest.mark.parametrize("plan", [PLAN, PLAN | describe_routes(several(USERS), None)], ids=["of before", "keys only"])
def test_nothing_is_asked_where_there_are_none(plan, monkeypatch):
    monkeypatch.setattr(tombstones, "connect_to", unreachable)
    assert tombstones.estimate_tombstones(plan, several(USERS)) is None


def test_a_plan_says_which_targets_are_complete_after_a_backfill_with_a_sweep():
    plan = PLAN | describe_routes(several(USERS, OPEN), several(USERS))
    start = "dynaurora backfill start app --sweep"
    assert dict(mapping_change.describe_steps(plan, None))["complete"] == (
        f"OpenOrders once a backfill with a sweep has run, until then it may have rows that left it: {start}"
    )
    assert dict(mapping_change.describe_steps(plan | {"hidden": ["OpenOrders"]}, None))["complete"] == (
        f"OpenOrders once a backfill with a sweep has run, its view appears then: {start}"
    )
    assert describe_routes(several(), None)["sweep"] == []
    assert describe_routes(several({**USERS, "when": "PK"}, OPEN), several(USERS, OPEN))["sweep"] == ["Users"]
