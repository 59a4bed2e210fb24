"""A schedule of verifications is told with what it costs, and refused where the table cannot be exported."""

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from backfill.deployment.schedules import bound_period, plan_schedule
from backfill.terminal.console import WrongUseError
from dynaurora.runs.costs import JUDGED_SECONDS, estimate_verification

WEEKLY = {"VerificationSchedule": "rate(7 days)"}


class DynamoDB:
    def __init__(self, recovery="ENABLED", *, exists=True):
        self.recovery, self.exists, self.asked = recovery, exists, 0

    def describe_table(self, TableName):  # noqa: N803
        if not self.exists:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": TableName}}, "DescribeTable")
        return {"Table": {"ItemCount": 1_000_000, "TableSizeBytes": 500_000_000}}

    def describe_continuous_backups(self, TableName):  # noqa: ARG002, N803
        self.asked += 1
        recovery = {"PointInTimeRecoveryStatus": self.recovery} if self.recovery else {}
        return {"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": recovery}}


@pytest.mark.parametrize(("given", "deployed"), [({}, {}), ({"VerificationSchedule": ""}, WEEKLY)])
def test_without_a_schedule_nothing_is_verified_by_the_clock_nor_asked(given, deployed):
    assert plan_schedule(None, "things", given, deployed) is None


@pytest.mark.parametrize(("given", "deployed"), [(WEEKLY, {}), ({}, WEEKLY)])
def test_a_schedule_costs_so_many_exports_of_the_table_as_it_is(given, deployed):
    found = plan_schedule(DynamoDB(), "things", given, deployed)
    each = estimate_verification(1_000_000, 500_000_000, JUDGED_SECONDS)
    assert found.as_dict() == {
        "schedule": "rate(7 days)",
        "usd_each": round(each, 4),
        "usd_monthly": round(each * 730 / 24 / 7, 2),
    }


def test_what_a_cron_costs_in_a_month_is_told_too():
    found = plan_schedule(DynamoDB(), "things", {"VerificationSchedule": "cron(0 3 ? * SUN *)"}, {})
    assert found.usd_monthly == round(found.usd_each * 730 / 24 / 7, 2)


def test_of_what_is_no_schedule_nobody_tells_how_often_it_starts():
    found = plan_schedule(DynamoDB(), "things", {"VerificationSchedule": "cron(0 3)"}, {})
    assert (found.usd_each > 0, found.usd_monthly) == (True, None)


@pytest.mark.parametrize("recovery", ["DISABLED", None])
def test_a_new_schedule_is_refused_for_a_table_that_cannot_be_exported(recovery):
    dynamodb = DynamoDB(recovery)
    with pytest.raises(WrongUseError, match=r"things exported, .*update-continuous-backups --table-name things"):
        plan_schedule(dynamodb, "things", WEEKLY, {"VerificationSchedule": "rate(1 day)"})
    plan_schedule(dynamodb, "things", WEEKLY, WEEKLY)  # the run itself tells: no deployment is in its way
    assert dynamodb.asked == 1


@pytest.mark.parametrize(
    ("given", "deployed"), [({}, {"BufferSeconds": "300"}), ({"TransformBufferSeconds": "61"}, {})]
)
def test_changes_that_are_collected_for_longer_than_a_judge_waits_are_refused_by_name(given, deployed):
    with pytest.raises(
        WrongUseError, match=r"have BufferSeconds, TransformBufferSeconds, StreamBufferSeconds be at most 120 together"
    ):
        plan_schedule(DynamoDB(), "things", WEEKLY | given, deployed)
    assert plan_schedule(DynamoDB(), "things", given | {"BufferSeconds": "300"}, deployed) is None


def test_a_table_that_is_to_be_made_is_made_with_what_an_export_needs():
    assert plan_schedule(DynamoDB(exists=False), "things", WEEKLY, {}).usd_each < 0.005


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        ("rate(12 hours)", 0.5),
        ("rate(7 days)", 7),
        ("cron(0 3 * * ? *)", 1),
        ("cron(0/30 * ? * * *)", 1),
        ("cron(0 3 ? * SUN *)", 7),
        ("cron(0 3 ? * MON-FRI *)", 7),
        ("cron(0 3 ? * SUN#1 *)", 35),
        ("cron(0 3 ? * 6L *)", 35),
        ("cron(0 3 1 * ? *)", 62),
        ("cron(0 3 1 1 ? *)", 366),
        ("cron(0 3 1 1 ? 2027)", None),
        ("cron(0 3)", None),
        ("", None),
    ],
)
def test_what_passes_at_most_between_two_starts_is_told_by_what_is_chosen(schedule, days):
    assert bound_period(schedule) == (None if days is None else timedelta(days=days))
