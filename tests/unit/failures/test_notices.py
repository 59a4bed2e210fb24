from datetime import UTC, datetime, timedelta

import pytest

from dynaurora.failures.notices import Notices
from tests.support.fakes import InMemoryObjects

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def notices():
    return Notices(InMemoryObjects(), "landing", "web_analytics", 3600)


def test_people_are_told_of_a_cause_once_in_an_interval(notices):
    times = [NOON, NOON + timedelta(minutes=1), NOON + timedelta(minutes=59), NOON + timedelta(minutes=60)]
    assert [notices.claim("DatabaseError", f"e-{time}", time) for time in times] == [True, False, False, True]


def test_every_cause_has_its_own_interval(notices):
    assert notices.claim("DatabaseError", "e-1", NOON)
    assert notices.claim("PrivilegeError", "e-2", NOON)
    assert not notices.claim("DatabaseError", "e-2", NOON)


def test_every_mapping_has_its_own_notices(notices):
    other = Notices(notices.store, "landing", "orders", 3600)
    assert notices.claim("DatabaseError", "e-1", NOON)
    assert other.claim("DatabaseError", "e-2", NOON)


def test_who_asks_again_because_the_answer_was_lost_is_told_the_same(notices):
    assert [notices.claim("DatabaseError", claimant, NOON) for claimant in ("e-1", "e-1", "e-2", "e-2")] == [
        *(True, True),
        *(False, False),
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff"])
def test_people_are_told_where_nobody_can_read_whether_they_were(notices, body):
    notices.claim("DatabaseError", "e-1", NOON)
    ((bucket, key),) = notices.store.objects
    notices.store.write(bucket, key, body)
    assert notices.claim("DatabaseError", "e-2", NOON)


@pytest.mark.parametrize("cause", ["States.Timeout", "run-States.Timeout", "a/b c", "ä", "../.."])
def test_a_cause_of_any_name_is_part_of_one_key(notices, cause):
    assert notices.claim(cause, "e-1", NOON)
    ((_, key),) = notices.store.objects
    assert key.startswith("notices/mapping=web_analytics/")
    assert key.count("/") == 3
