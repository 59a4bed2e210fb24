"""What a calculation rests on: what is given, then the project's settings, then AWS; and what cannot be meant."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from backfill import calculating
from backfill.calculating import (
    BUFFERS,
    DEFAULT,
    DESCRIBED,
    GIVEN,
    Given,
    Number,
    Settings,
    count_verifications,
    find_basis,
)
from backfill.costs.quantities import Assumptions
from backfill.deployment.written import TableSize, Written
from backfill.project import FILE, Project
from backfill.terminal.console import WrongUseError
from tests.infrastructure.deployment import read_template

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
NUMBERS = {"items": 1e6, "item_bytes": 500, "writes_per_second": 100}
SIZE = TableSize("Orders", 1000, 1_500_000, NOW - timedelta(days=30))
"""Of items of 1,500 bytes: a write takes two units."""


@pytest.fixture(autouse=True)
def unreachable(monkeypatch):
    """An AWS that nobody may ask."""

    def refuse(service):
        raise AssertionError(service)

    monkeypatch.setattr(calculating, "connect_to", refuse)


@pytest.fixture(autouse=True)
def project(monkeypatch, tmp_path):
    """A project whose settings a test may change."""
    found = Project(tmp_path)
    monkeypatch.setattr(calculating, "find_current", lambda: found)
    monkeypatch.setattr(calculating, "load_mapping", lambda _: SimpleNamespace(source_table="Orders"))
    return found


@pytest.fixture
def aws(monkeypatch):
    """An AWS with the table: in two minutes of a day 120 and 240 units were written to it, and 60 items expired."""
    asked = []

    def read(cloudwatch, size, days, stretch):
        asked.append((cloudwatch, days, stretch))
        units = {NOW - timedelta(hours=5): 120.0, NOW - timedelta(hours=1): 240.0}
        expired = {NOW - timedelta(hours=1): 60.0}
        return Written(NOW - timedelta(days=1), NOW, stretch, units, expired)

    monkeypatch.setattr(calculating, "connect_to", lambda service: service)
    monkeypatch.setattr(calculating, "read_table_size", lambda *_: SIZE)
    monkeypatch.setattr(calculating, "read_written", read)
    return asked


def test_numbers_that_are_given_ask_nothing():
    basis = find_basis(Given(**NUMBERS))
    assert (basis.items, basis.item_bytes, basis.writes) == (Number(1e6, GIVEN), Number(500, GIVEN), Number(100, GIVEN))
    assert basis.traffic.shares == {100: 1.0}
    assert (basis.table, basis.seconds) == (None, None)
    assert find_basis(Given(mapping="orders", **NUMBERS)).table == "Orders"


def test_what_is_not_given_is_asked_and_units_are_divided_by_those_of_a_write(aws):
    basis = find_basis(Given(mapping="orders"))
    assert aws == [("cloudwatch", 14.0, 60)]
    assert (basis.items, basis.item_bytes) == (Number(1000, DESCRIBED), Number(1500.0, DESCRIBED))
    assert basis.traffic.shares == {1.0: 60 / 86400, 3.0: 60 / 86400}  # 60, and 120 + 60 in a minute
    assert basis.writes.value == pytest.approx(240 / 86400)
    assert "2 of its write units for each" in basis.writes.source
    assert basis.writes.at == NOW


def test_any_number_may_be_given_beside_those_of_the_table(aws):
    basis = find_basis(Given(table="Orders", item_bytes=1000, days=2))
    assert aws == [("cloudwatch", 2, 60)]
    assert (basis.items, basis.item_bytes) == (Number(1000, DESCRIBED), Number(1000, GIVEN))
    assert basis.traffic.shares == {2.0: 60 / 86400, 5.0: 60 / 86400}
    assert find_basis(Given(table="Orders", writes_per_second=3)).traffic.shares == {3: 1.0}
    assert len(aws) == 1


def test_what_expires_is_no_change_where_that_is_ignored(aws, project):
    project.replications["orders"] = {"TtlDeletes": "ignore"}
    assert find_basis(Given(mapping="orders")).traffic.shares == {1.0: 60 / 86400, 2.0: 60 / 86400}


def test_stretches_are_as_long_as_changes_are_collected_for(aws):
    find_basis(Given(table="Orders", buffer_seconds=300))
    find_basis(Given(table="Orders", days=400))
    assert [stretch for _, _, stretch in aws] == [300, 3600]


def test_a_table_that_dynamodb_has_not_counted_yet_is_told(aws, monkeypatch):
    empty = TableSize("Orders", 0, 0, NOW)
    monkeypatch.setattr(calculating, "read_table_size", lambda *_: empty)
    for given in (Given(table="Orders"), Given(table="Orders", items=5)):
        with pytest.raises(WrongUseError, match=r"no items in the table Orders.*--items and --item-bytes"):
            find_basis(given)
    assert find_basis(Given(table="Orders", items=5, item_bytes=100)).items == Number(5, GIVEN)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Given(), "a MAPPING or a --table to look at, or give --items, --item-bytes, --writes-per-second"),
        (Given(items=5, item_bytes=5), "give --writes-per-second too"),
        (Given(mapping="orders", table="Orders"), "leave out --table"),
        (Given(days=3, **NUMBERS), "--days says how far back"),
        (Given(verify_every="soon", **NUMBERS), "--verify-every takes a time"),
        (Given(verify_every="0d", **NUMBERS), "--verify-every takes a time"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, says):
    with pytest.raises(WrongUseError, match=says):
        find_basis(given)


def test_settings_are_the_projects_and_what_is_given_counts_before(project):
    project.replications["orders"] = {
        "BufferSeconds": "300",
        "BufferMegabytes": "64",
        "VerificationSchedule": "rate(1 day)",
        "ReprocessSchedule": "",
    }
    settings = find_basis(Given(mapping="orders", **NUMBERS)).settings
    assert settings.buffers["BufferSeconds"] == Number(300.0, FILE)
    assert settings.buffers["TransformBufferSeconds"] == Number(5, DEFAULT)
    assert settings.verifications == Number(pytest.approx(730 / 24), FILE)
    assert settings.looks == Number(0, FILE)
    assumed = settings.assumptions
    assert (assumed.buffer_seconds, assumed.buffer_bytes, assumed.transform_seconds) == (300, 64 * 2**20, 5)
    given = find_basis(Given(mapping="orders", buffer_seconds=0, verify_every="never", **NUMBERS)).settings
    assert (given.buffers["BufferSeconds"], given.verifications) == (Number(0, GIVEN), Number(0, GIVEN))
    others = find_basis(Given(table="Orders", **NUMBERS)).settings
    assert (others.buffers["BufferSeconds"], others.verifications) == (Number(60, DEFAULT), Number(0, DEFAULT))
    assert others.looks == Number(730, DEFAULT)


@pytest.mark.parametrize("value", ["soon", "901", "-1", "nan"])
def test_a_setting_that_does_not_hold_is_named(project, value):
    project.replications["orders"] = {"BufferSeconds": value}
    with pytest.raises(WrongUseError, match=rf"BufferSeconds in \[replications.orders\] .*not '{value}'"):
        find_basis(Given(mapping="orders", **NUMBERS))


def test_a_cron_is_counted_by_its_fields(project):
    project.replications["orders"] = {"VerificationSchedule": "cron(0 4 * * ? *)"}
    assert find_basis(Given(mapping="orders", **NUMBERS)).settings.verifications == Number(
        pytest.approx(730 / 24), FILE
    )


@pytest.mark.parametrize("name", ["VerificationSchedule", "ReprocessSchedule"])
def test_what_is_no_schedule_is_named(project, name):
    project.replications["orders"] = {name: "cron(daily)"}
    with pytest.raises(
        WrongUseError, match=rf"{name} of dynaurora.toml is rate\(…\) or cron\(…\) .*not 'cron\(daily\)'"
    ):
        find_basis(Given(mapping="orders", **NUMBERS))


@pytest.mark.parametrize(
    ("every", "a_month"),
    [("7d", 730 / 168), ("7 days", 730 / 168), ("rate(1 day)", 730 / 24), ("12h", 730 / 12), ("30 minutes", 1460)],
)
def test_how_often_a_table_is_verified_is_given_as_a_time(every, a_month):
    assert count_verifications(every, {}) == Number(pytest.approx(a_month), GIVEN)


def test_buffers_are_those_of_the_template_and_start_as_the_model_does():
    parameters = read_template("replication")["Parameters"]
    template = {
        name: (found["Default"], found["MinValue"], found["MaxValue"])
        for name, found in parameters.items()
        if "Buffer" in name
    }
    assert {name: (each.default, each.least, each.most) for name, each in BUFFERS.items()} == template
    buffers = {name: Number(each.default, DEFAULT) for name, each in BUFFERS.items()}
    never = Number(0, DEFAULT)
    assert (
        Settings(buffers, never, never, ignores_expiries=False, is_traced=False, platform={}).assumptions
        == Assumptions()
    )
