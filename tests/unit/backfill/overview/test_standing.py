"""What is to be done about a replication, by how it stands, and how that is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backfill.deployment.lags import Lag, LagHistory, list_queries, read_lag_histories, read_lags
from backfill.deployment.stream_readers import CHANGING, KEPT, MISSING, OFF, ON, PAUSED, StreamReader
from backfill.overview.facts import group_by_function, read_facts
from backfill.overview.findings import diagnose_lag, diagnose_verifying
from backfill.overview.kept import Kept
from backfill.overview.standing import Standing
from backfill.overview.telling import describe_standing, summarize_standing
from dynaurora.target.check_target import UNKNOWN, WARNING, YES
from tests.support.backfill_factories import DEPLOYMENT, FakeFunctions

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BACKFILL = {
    "run": "r1",
    "state": "SUCCEEDED",
    "reason": None,
    "started_at": "2026-11-23T08:00:00Z",
    "ended_at": "2026-11-23T09:00:00Z",
    "items": 5,
    "rows_imported": 4,
    "rows_rejected": 1,
}
VERIFIED = {"run": "v1", "ended_at": "2026-11-23T10:00:00Z", "unexplained": 0, "counts": {"items": 5, "behind": 0}}
FACTS = {
    "rows": {"count": 4, "exact": True},
    "last_import_at": "2026-11-23T11:00:00Z",
    "backfill": BACKFILL,
    "verification": VERIFIED,
}
WELL = Standing(DEPLOYMENT, NOW, StreamReader(ON), None, Lag(3.0, 0.5), Kept(), FACTS)
LONG_AGO = NOW - timedelta(hours=2)


def facts(**changed):
    return {"facts": FACTS | changed}


def test_where_all_is_well_nothing_is_to_be_done():
    assert WELL.todo == []
    assert summarize_standing(WELL) == (
        *("web_analytics", "on", "3.0 s", "4", "0", "0"),
        *("succeeded 2026-11-23", "equal 2026-11-23", "-"),
    )
    told = dict(describe_standing(WELL))
    assert told["to do"] == "nothing"
    assert told["last backfill"] == "r1 succeeded at 2026-11-23 09:00:00Z: 4 rows imported, 1 rejected"
    assert told["verified"] == "equal at 2026-11-23 10:00:00Z, 5 items, run v1"
    assert WELL.as_dict()["well"] is True


PAUSED_READER = StreamReader(PAUSED, "arn", None, LONG_AGO, LONG_AGO, LONG_AGO + KEPT)


@pytest.mark.parametrize(
    ("changed", "problem", "remedy"),
    [
        ({"reader": PAUSED_READER}, "is paused since 2026-11-23 10:00:00Z; the stream keeps", "resume web_analytics"),
        ({"reader": replace(PAUSED_READER, resume_by=LONG_AGO)}, "the stream loses changes", "resume web_analytics"),
        ({"reader": replace(PAUSED_READER, state=OFF, paused_at=None)}, "switched off, not by", "resume web_analytics"),
        ({"reader": StreamReader(MISSING)}, "nothing reads its stream", "deploy web_analytics"),
        ({"reader": None, "unseen": {"reader": "No."}}, "reader cannot be seen: No.", "doctor web_analytics"),
        ({"stream_problem": "its stream is off"}, "its stream is off", "doctor web_analytics"),
        (
            {"losses": ((1_795_413_600, 1_795_413_841),)},
            "records from 2026-11-23T06:00:00Z to 2026-11-23T06:04:01Z may be lost",
            "repair web_analytics --from 2026-11-23T06:00:00Z --to 2026-11-23T06:04:01Z",
        ),
        ({"losses": None, "unseen": {"losses": "No."}}, "stream lost cannot be seen: No.", "doctor web_analytics"),
        ({"lag": Lag(671.0, None)}, "rows are 11 min 11 s late", "late-rows.md"),
        ({"lag": Lag(3.0, 301.0)}, "its reader is 5 min 1 s behind", "late-rows.md"),
        ({"lag": None, "unseen": {"lag": "No."}}, "its lag cannot be seen: No.", "doctor web_analytics"),
        ({"kept": Kept(2)}, "2 failures kept", "failures count web_analytics"),
        ({"kept": Kept(2, is_all=False)}, "at least 2 failures kept", "failures count web_analytics"),
        ({"kept": Kept(0, 1)}, "1 failure parked", "failures list web_analytics --parked"),
        ({"kept": None, "unseen": {"failed": "No."}}, "what failed cannot be seen: No.", "doctor web_analytics"),
        ({"facts": {"error": "It is away."}}, "the database cannot be asked: It is away.", "aurora-down.md"),
        (facts(verification=None), "it was never verified", "verify web_analytics"),
        (facts(verification=VERIFIED | {"unexplained": 2}), "2 rows differ", "repair web_analytics"),
        (
            facts(backfill=BACKFILL | {"state": "FAILED", "reason": "X: y.", "ended_at": "2026-11-23T11:00:00Z"}),
            "its last backfill failed: X: y.",
            "backfill status r1",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(changed, problem, remedy):
    standing = replace(WELL, **changed)
    (todo,) = standing.todo
    assert problem in todo.problem
    assert todo.remedy.endswith(remedy)
    assert summarize_standing(standing)[-1] == todo.remedy
    assert standing.as_dict()["todo"] == [{"problem": todo.problem, "next": todo.remedy}]
    assert dict(describe_standing(standing))["to do"] == f"{todo.problem}: {todo.remedy}"


@pytest.mark.parametrize(
    "changed",
    [
        {"reader": StreamReader(CHANGING)},
        {"reader": StreamReader(CHANGING), "stream_problem": "it reads nothing yet"},
        {"lag": Lag()},
        {"lag": Lag(664.0, 300.0)},
        facts(backfill=None),
        facts(backfill=BACKFILL | {"state": "FAILED"}),
        facts(backfill=BACKFILL | {"state": "RUNNING", "ended_at": None, "rows_imported": None}),
    ],
)
def test_what_passes_or_was_found_equal_since_is_not_to_be_done(changed):
    standing = replace(WELL, **changed)
    assert standing.todo == []
    assert dict(describe_standing(standing))


def test_one_that_was_never_backfilled_nor_verified_is_led_through_both():
    standing = replace(WELL, **facts(backfill=None, verification=None))
    assert [todo.about for todo in standing.todo] == ["backfill", "verified"]
    assert summarize_standing(standing)[-3:] == (
        *("-", "never"),
        "dynaurora backfill start web_analytics --watch (+1)",
    )


def test_what_is_not_known_is_not_told_as_well():
    cells = summarize_standing(Standing(DEPLOYMENT, NOW, facts={"error": "Away."}))
    assert cells[1:8] == ("unknown",) * 7


@pytest.mark.parametrize(
    ("lag", "state", "detail"),
    [
        ("No.", UNKNOWN, "No."),
        (Lag(), YES, "none came in the last quarter of an hour"),
        (Lag(3.0), YES, ""),
        (Lag(9999.0), WARNING, "rows are 2 h 46 min late"),
    ],
)
def test_the_doctor_warns_of_late_rows(lag, state, detail):
    (finding,) = diagnose_lag(DEPLOYMENT, lag)
    assert (finding.state, finding.detail) == (state, detail)


WEEKLY = replace(WELL, deployment=replace(DEPLOYMENT, verification_schedule="rate(7 days)"))
RUN = {"run": "verify-1", "state": "FAILED", "reason": "X: y.", "started_at": "2026-11-23T11:00:00Z", "ended_at": None}
OVERDUE = timedelta(days=8)


@pytest.mark.parametrize(
    ("standing", "problem", "remedy"),
    [
        (replace(WELL, **facts(verification_run=RUN)), "its last verification failed: X: y.", "--run verify-1"),
        (
            replace(WELL, **facts(verification_run=RUN | {"state": "STOPPED", "reason": None})),
            "its last verification stopped",
            "dynaurora verify web_analytics --run verify-1",
        ),
        (
            replace(WEEKLY, seen_at=NOW + OVERDUE),
            "it is to be verified by rate(7 days), and was last at 2026-11-23 10:00:00Z",
            "dynaurora verify web_analytics",
        ),
    ],
)
def test_a_verification_that_failed_or_did_not_come_is_named(standing, problem, remedy):
    (todo,) = standing.todo
    assert (todo.problem, todo.remedy.endswith(remedy)) == (problem, True)


@pytest.mark.parametrize(
    "standing",
    [
        WEEKLY,
        replace(WELL, seen_at=NOW + 9 * OVERDUE),
        replace(WEEKLY, seen_at=NOW + OVERDUE - timedelta(hours=3)),
        replace(WEEKLY, seen_at=NOW + OVERDUE, **facts(verification_run=RUN | {"state": "RUNNING"})),
        replace(WELL, **facts(verification_run=RUN | {"state": "SUCCEEDED"})),
        replace(WELL, **facts(verification_run=RUN | {"started_at": "2026-11-23T09:00:00Z"})),
    ],
)
def test_a_verification_that_is_due_or_went_on_since_is_not_to_be_done(standing):
    assert standing.todo == []
    assert {"verification_run", "verification_schedule"} < standing.as_dict().keys()


@pytest.mark.parametrize(
    ("schedule", "known", "expected"),
    [
        ("rate(7 days)", FACTS | {"verification": VERIFIED | {"ended_at": "2020-01-01T00:00:00Z"}}, WARNING),
        ("rate(7 days)", FACTS | {"verification": None}, YES),
        ("rate(7 days)", {"error": "Away."}, UNKNOWN),
        ("", FACTS | {"verification_run": RUN}, WARNING),
        ("", FACTS, None),
        ("", {"error": "Away."}, None),
    ],
)
def test_the_doctor_warns_of_a_verification_that_does_not_come(schedule, known, expected):
    found = [*diagnose_verifying(replace(DEPLOYMENT, verification_schedule=schedule), known)]
    assert [finding.state for finding in found] == ([] if expected is None else [expected])


class CloudWatch:
    """What it measured of one replication, on three pages."""

    def get_paginator(self, name):
        assert name == "get_metric_data"
        return self

    def paginate(self, MetricDataQueries, StartTime, EndTime):  # noqa: N803 (the SDK's names)
        assert [query["Id"] for query in MetricDataQueries] == ["rows_0", "reader_0"]
        self.asked = EndTime - StartTime
        times = [NOW - timedelta(minutes=2), NOW]
        yield {"MetricDataResults": [{"Id": "rows_0", "Timestamps": times, "Values": [9.0, 4.0]}]}
        yield {"MetricDataResults": [{"Id": "reader_0", "Timestamps": [*reversed(times)], "Values": [1500.0, 9.0]}]}
        yield {"MetricDataResults": [{"Id": "rows_0", "Timestamps": [], "Values": []}]}


def test_the_newest_value_of_a_metric_counts():
    one = replace(DEPLOYMENT, forward_changes="clicks-forward-changes")
    assert read_lags(CloudWatch(), [one]) == {one.stack: Lag(4.0, 1.5)}
    assert [query["Id"] for query in list_queries(7, DEPLOYMENT)] == ["rows_7"]


def test_the_history_of_a_lag_is_in_the_order_of_time():
    cloudwatch, one = CloudWatch(), replace(DEPLOYMENT, forward_changes="clicks-forward-changes")
    history = read_lag_histories(cloudwatch, [one], timedelta(hours=3))[one.stack]
    before = NOW - timedelta(minutes=2)
    assert history == LagHistory(((before, 9.0), (NOW, 4.0)), ((before, 0.009), (NOW, 1.5)))
    assert cloudwatch.asked == timedelta(hours=3, minutes=1)
    assert [point["seconds"] for point in history.as_dict()["rows"]] == [9.0, 4.0]


def test_replications_are_asked_of_by_platform_some_at_a_time():
    others = [replace(DEPLOYMENT, stack=f"s{number}", describe_runs="other") for number in range(60)]
    assert [len(some) for some in group_by_function([DEPLOYMENT, *others])] == [1, 25, 25, 10]


def test_a_function_that_fails_leaves_the_facts_unknown():
    known = read_facts(FakeFunctions(None), [DEPLOYMENT])
    assert known == {"clicks": {"error": "The function clicks-describe-runs failed: DatabaseUnavailableError: Away."}}


def test_what_a_repair_has_left_is_told_beside_what_the_verification_found():
    mended = {"found": 12, "mended_by": "repair-1", "mended_at": "2026-11-24T10:00:00Z"}
    standing = replace(WELL, **facts(verification=VERIFIED | mended))
    assert standing.todo == []
    assert summarize_standing(standing)[-2] == "mended 2026-11-24"
    told = "12 without an explanation at 2026-11-23 10:00:00Z, of which the repair repair-1 has left 0 at 2026-11-24"
    assert dict(describe_standing(standing))["verified"].startswith(told)
    left = replace(WELL, **facts(verification=VERIFIED | mended | {"unexplained": 2}))
    assert summarize_standing(left)[-2:] == ("2 differ 2026-11-24", "dynaurora repair web_analytics")
