import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations

import pytest

from dynaurora import keys
from dynaurora.dynamodb.source import (
    PASSING_STATES,
    PASSING_WAIT_SECONDS,
    SourceState,
    find_problems,
    seconds_to_wait,
)
from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS
from dynaurora.errors import NotReadyError, RunConflictError
from dynaurora.exports.check_readiness import (
    SETTLED_SECONDS,
    TOKEN_LIFETIME,
    Readiness,
    WantedExport,
    check_readiness,
    find_complete_from,
)
from dynaurora.mappings.registry import Pointer, Registry, point_at
from tests.support.example import load_example
from tests.support.factories import EXPORT_ARN, TABLE_ARN, make_plan
from tests.support.fakes import InMemoryObjects
from tests.support.sources import BUCKET, GIVEN, MAPPING_ID, NOW, READY, STREAM_ARN, KnownSource


def check(
    store=None,
    run="r1",
    *,
    export_arn=None,
    now=NOW,
    key="arn:key",
    complete_from=None,
    current=None,
    wanted=None,
    **changed,
):
    source, asked = KnownSource(replace(READY, **changed), key), {"export_arn": export_arn, "now": now}
    store, asked = store or InMemoryObjects(), asked | {"current": current, "wanted": wanted}
    return check_readiness(source, store, BUCKET, "web_analytics", run, **asked, complete_from=complete_from)


def test_a_table_that_is_ready_is_exported_as_it_is_now():
    readiness = check()
    assert re.fullmatch(r"dynaurora-[0-9a-f]{32}", readiness.export.pop("client_token"))
    assert readiness == Readiness(
        ready=True,
        planned=False,
        wait_seconds=0,
        export={
            "table_arn": TABLE_ARN,
            "bucket": BUCKET,
            "kms_key": "arn:key",
            "prefix": "exports/run=web_analytics-r1",
            "export_time": "2026-11-23T08:15:00Z",
        },
        stream_enabled_at=datetime(2026, 11, 23, 8, 0, tzinfo=UTC).timestamp(),
        mapping_changed_at=datetime(2026, 11, 23, 8, 1, tzinfo=UTC).timestamp(),
    )


def test_an_export_is_of_a_whole_second_in_utc():
    now = datetime(2026, 11, 23, 12, 15, 59, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert check(now=now).export["export_time"] == "2026-11-23T10:15:59Z"


PROBLEMS = {
    "recovery off": ({"recovery": False}, "point-in-time recovery is off: `aws dynamodb update-continuous-backups`"),
    "stream off": ({"stream_arn": None}, "stream is off: `aws dynamodb update-table"),
    "stream of keys": ({"stream_view": "KEYS_ONLY"}, "stream's view is KEYS_ONLY: it needs a stream of NEW_IMAGE"),
    "stream of old images": ({"stream_view": "OLD_IMAGE"}, "stream's view is OLD_IMAGE"),
    "no mapping": ({"mapping_state": None}, f"there is no event source mapping {MAPPING_ID}: deploy the stack again"),
    "mapping disabled": (
        {"mapping_state": "Disabled"},
        f"{MAPPING_ID} is Disabled: `dynaurora resume web_analytics` has it read again",
    ),
    "mapping being disabled": ({"mapping_state": "Disabling"}, f"{MAPPING_ID} is Disabling"),
    "mapping being deleted": ({"mapping_state": "Deleting"}, f"{MAPPING_ID} is Deleting"),
    "mapping of an earlier stream": (
        {"mapping_stream_arn": "arn:earlier"},
        f"reads arn:earlier, and the table's stream is {STREAM_ARN}: deploy the stack with that stream",
    ),
}
"""What is in the way → how the table differs from one that is ready, and what is said of it."""


@pytest.mark.parametrize(("changed", "says"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_is_named_with_what_to_do(changed, says):
    with pytest.raises(NotReadyError) as caught:
        check(**changed)
    assert caught.value.problem.startswith("web_analytics is not ready: ")
    assert says in caught.value.problem
    assert caught.value.problem.count(";") == 0


@pytest.mark.parametrize(
    "names",
    [
        *combinations(["recovery off", "stream of keys", "mapping of an earlier stream"], 2),
        *combinations(["recovery off", "stream off", "mapping disabled"], 2),
        ("recovery off", "stream of keys", "mapping of an earlier stream"),
        ("recovery off", "stream off", "no mapping"),
    ],
    ids=" and ".join,
)
def test_problems_are_named_all_at_once(names):
    changed = {name: value for problem in names for name, value in PROBLEMS[problem][0].items()}
    with pytest.raises(NotReadyError) as caught:
        check(**changed)
    assert [name for name in names if PROBLEMS[name][1] in caught.value.problem] == list(names)
    assert caught.value.problem.count(";") == len(names) - 1


@pytest.mark.parametrize(
    ("keys_of_table", "problem"),
    [
        (
            {"page_id": "N", "activity_dt": "S"},
            "its key page_id is a number, and the schema of WebAnalytics allows string",
        ),
        ({"page_id": "B", "activity_dt": "S"}, "its key page_id is binary, which the column page_id of WebAnalytics"),
        ({"page_id": "S"}, "its key is page_id, and the mapping's is page_id + activity_dt: correct partition_key"),
    ],
)
def test_a_table_whose_keys_the_mapping_does_not_take_is_not_exported(keys_of_table, problem):
    changed = {"keys": tuple(keys_of_table), "key_types": tuple(keys_of_table.values())}
    store = InMemoryObjects()
    with pytest.raises(NotReadyError) as caught:
        check(store, current=load_example(), recovery=False, **changed)
    assert problem in caught.value.problem
    assert "recovery is off" in caught.value.problem
    assert store.objects == {}


def test_keys_that_the_mapping_takes_are_no_problem():
    keys_of_table = {"keys": ("page_id", "activity_dt"), "key_types": ("S", "S")}
    assert check(current=load_example(), **keys_of_table).ready
    assert check(current=load_example(), **(keys_of_table | {"key_types": ("N",)})).ready  # where they are not known


def test_a_table_that_is_not_there_is_the_only_problem():
    (problem,) = find_problems(SourceState("web_analytics"), "web_analytics", None)
    assert problem.startswith("there is no table web_analytics in this account and region")


@pytest.mark.parametrize("view", ["NEW_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_a_stream_of_new_images_will_do(view):
    assert check(stream_view=view).ready


def test_a_given_export_needs_no_point_in_time_recovery():
    assert check(export_arn=GIVEN, recovery=False).ready
    with pytest.raises(NotReadyError, match="stream is off"):
        check(export_arn=GIVEN, recovery=False, stream_arn=None)


@pytest.mark.parametrize("state", sorted(PASSING_STATES))
def test_a_mapping_that_will_soon_be_enabled_is_waited_for(state):
    store = InMemoryObjects()
    assert check(store, mapping_state=state) == Readiness(ready=False, wait_seconds=PASSING_WAIT_SECONDS)
    assert store.objects == {}


def test_a_problem_is_told_at_once_and_not_waited_for():
    with pytest.raises(NotReadyError, match="recovery is off"):
        check(recovery=False, mapping_state="Enabling")


@pytest.mark.parametrize(
    ("enabled_for", "wait"),
    [
        pytest.param(0, 120, id="just now"),
        pytest.param(0.4, 120, id="under a second ago"),
        pytest.param(1, 119, id="a second ago"),
        pytest.param(118.5, 2, id="nearly"),
        pytest.param(119.999, 1, id="a moment short"),
        pytest.param(120, 0, id="the margin"),
        pytest.param(86_400, 0, id="a day ago"),
        pytest.param(-5, 125, id="in the future, by AWS's clock"),
    ],
)
def test_a_mapping_is_enabled_for_longer_than_a_snapshot_is_dated_back(enabled_for, wait):
    changed_at = NOW - timedelta(seconds=enabled_for)
    assert SNAPSHOT_MARGIN_SECONDS == 120
    assert seconds_to_wait(replace(READY, mapping_changed_at=changed_at), NOW) == wait
    store = InMemoryObjects()
    readiness = check(store, mapping_changed_at=changed_at)
    assert (readiness.ready, readiness.wait_seconds, readiness.export is None) == (wait == 0, wait, wait > 0)
    assert bool(store.objects) is (wait == 0)


@pytest.mark.parametrize(
    ("complete_from", "wait"),
    [
        pytest.param(NOW + timedelta(seconds=180), 180, id="long to come"),
        pytest.param(NOW + timedelta(seconds=0.5), 1, id="nearly there"),
        pytest.param(NOW, 0, id="now"),
        pytest.param(NOW - timedelta(days=1), 0, id="a day ago"),
    ],
)
def test_an_export_waits_until_no_row_of_an_older_mapping_can_beat_it(complete_from, wait):
    store = InMemoryObjects()
    readiness = check(store, complete_from=complete_from)
    assert (readiness.ready, readiness.wait_seconds) == (wait == 0, wait)
    assert readiness.complete_from == complete_from.timestamp()
    assert bool(store.objects) is (wait == 0)


def test_of_two_waits_the_longer_is_waited_for():
    changed = {"mapping_changed_at": NOW - timedelta(seconds=20)}
    assert check(complete_from=NOW + timedelta(seconds=10), **changed).wait_seconds == 100
    assert check(complete_from=NOW + timedelta(seconds=110), **changed).wait_seconds == 110


def test_a_given_export_does_not_wait_for_a_mapping_to_be_everywhere():
    readiness = check(export_arn=GIVEN, complete_from=NOW + timedelta(seconds=180))
    assert (readiness.ready, readiness.complete_from) == (True, (NOW + timedelta(seconds=180)).timestamp())


def test_what_was_asked_for_before_the_mapping_was_changed_is_asked_for_anew():
    store, later = InMemoryObjects(), NOW + timedelta(hours=1)
    first = check(store).export
    assert check(store, now=later, complete_from=NOW).export == first
    assert check(store, now=later, complete_from=NOW + timedelta(seconds=1)).export != first


@pytest.mark.parametrize(
    ("generation", "written_at", "expected"),
    [
        pytest.param(1, NOW, None, id="the first"),
        pytest.param(2, NOW, NOW + timedelta(seconds=241), id="the second"),
        pytest.param(3, NOW + timedelta(milliseconds=1), NOW + timedelta(seconds=242), id="within a second"),
    ],
)
def test_an_export_is_complete_from_when_the_switch_is_settled(generation, written_at, expected):
    store = InMemoryObjects(written_at=written_at)
    point_at(store, BUCKET, "web_analytics", Pointer("0" * 64, generation))
    assert SETTLED_SECONDS == 60 + 180
    assert find_complete_from(Registry(store, BUCKET, "web_analytics")) == expected


def test_a_mapping_of_unknown_age_is_not_waited_for():
    readiness = check(mapping_changed_at=None, stream_enabled_at=None)
    assert (readiness.ready, readiness.mapping_changed_at, readiness.stream_enabled_at) == (True, None, None)


def test_a_repeated_run_asks_for_the_same_export():
    store = InMemoryObjects()
    first = check(store)
    again = check(store, now=NOW + timedelta(hours=3))
    assert again.export == first.export
    assert json.loads(store.read(BUCKET, keys.export_request("web_analytics", "r1"))) == first.export
    assert check(store, run="r2", now=NOW + timedelta(hours=3)).export["export_time"] == "2026-11-23T11:15:00Z"


@pytest.mark.parametrize(
    "differing",
    [
        pytest.param({"run": "r2"}, id="another run"),
        pytest.param({"bucket": "landing of another stack"}, id="another bucket"),
        pytest.param({"table_arn": f"{TABLE_ARN}_too"}, id="another table"),
        pytest.param({"now": NOW + timedelta(seconds=1)}, id="another time"),
    ],
)
def test_only_the_same_run_of_the_same_table_asks_by_the_same_token(differing):
    def token(run="r1", bucket=BUCKET, now=NOW, **changed):
        source = KnownSource(replace(READY, **changed))
        readiness = check_readiness(source, InMemoryObjects(), bucket, "web_analytics", run, export_arn=None, now=now)
        return readiness.export["client_token"]

    assert token() == token()
    assert token() != token(**differing)


def test_what_dynamodb_no_longer_recognises_is_asked_for_anew():
    store = InMemoryObjects()
    first = check(store).export
    assert check(store, now=NOW + TOKEN_LIFETIME - timedelta(seconds=1)).export == first
    anew = check(store, now=NOW + TOKEN_LIFETIME).export
    assert anew["export_time"] == "2026-11-23T16:15:00Z"
    assert anew["client_token"] != first["client_token"]
    assert json.loads(store.read(BUCKET, keys.export_request("web_analytics", "r1"))) == anew
    assert check(store, now=NOW + TOKEN_LIFETIME * 1.5).export == anew


def test_what_was_asked_for_with_another_key_or_none_is_asked_for_anew():
    store, place = InMemoryObjects(), (BUCKET, keys.export_request("web_analytics", "r1"))
    first = check(store).export
    second = check(store, key="arn:another").export
    assert second["kms_key"] == "arn:another"
    assert second["client_token"] != first["client_token"]
    del second["kms_key"]
    store.write(*place, json.dumps(second).encode())
    assert check(store, key="arn:another").export["kms_key"] == "arn:another"


def test_what_was_asked_for_before_the_stream_was_read_is_asked_for_anew():
    store, later = InMemoryObjects(), NOW + timedelta(hours=1)
    first = check(store).export
    assert check(store, now=later, mapping_changed_at=NOW - timedelta(seconds=120)).export == first
    anew = check(store, now=later, mapping_changed_at=NOW - timedelta(seconds=119)).export
    assert anew["export_time"] == "2026-11-23T09:15:00Z"


@pytest.mark.parametrize("given", [None, EXPORT_ARN], ids=["no export", "the plan's export"])
def test_a_run_that_has_its_plan_asks_for_nothing(given):
    store, source = planned_run(), KnownSource(SourceState("web_analytics"))
    readiness = check_readiness(source, store, BUCKET, "web_analytics", "r1", export_arn=given, now=NOW)
    assert readiness == Readiness(ready=True, planned=True)
    assert source.asked == 0


def test_a_run_that_has_its_plan_takes_no_other_export():
    with pytest.raises(RunConflictError, match=f"r1 is planned already, with the export {EXPORT_ARN}"):
        check(planned_run(), export_arn=GIVEN.replace("abcdef12", "other"))


def planned_run():
    """Return a store in which the run r1 has its plan."""
    store = InMemoryObjects()
    plan = make_plan()
    store.write(BUCKET, keys.planned("web_analytics", "r1"), json.dumps(asdict(plan)).encode())
    store.write(plan.bucket, plan.key, b"[]")
    return store


def test_readiness_is_small_and_json():
    assert json.loads(json.dumps(asdict(check()))).keys() >= {"ready", "planned", "wait_seconds", "export"}


WINDOW = WantedExport(window_from="2026-11-23T07:00:00Z", window_to="2026-11-23T08:15:00Z")


def test_a_window_is_asked_for_once_it_is_over_and_whatever_mapping_was_before():
    late = NOW + timedelta(hours=9)
    assert check(wanted=WINDOW, now=NOW - timedelta(seconds=40), complete_from=late).wait_seconds == 40
    store = InMemoryObjects()
    asked = check(store, wanted=WINDOW, complete_from=late).export
    assert (asked["window_from"], asked["window_to"]) == (WINDOW.window_from, WINDOW.window_to)
    assert check(store, wanted=WINDOW, now=NOW + timedelta(minutes=5)).export == asked
    other = replace(WINDOW, window_from="2026-11-23T06:00:00Z")
    assert check(store, wanted=other).export["client_token"] != asked["client_token"]


def test_a_given_summary_needs_no_recovery_and_the_tables_stream_all_the_same():
    given = WantedExport(summary="s3://b/AWSDynamoDB/1/manifest-summary.json")
    assert check(wanted=given, recovery=False).ready
    with pytest.raises(NotReadyError, match="its stream is off"):
        check(wanted=given, recovery=False, stream_arn=None)
    with pytest.raises(NotReadyError, match="point-in-time recovery is off"):
        check(wanted=WINDOW, recovery=False)
