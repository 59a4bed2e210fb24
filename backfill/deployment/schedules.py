"""Scheduled verifications, as a deployment plans them: what each costs, before the first one starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from backfill.deployment.deployments import BUFFERS
from backfill.deployment.sources import can_export
from backfill.terminal.console import WrongUseError
from dynaurora.runs.costs import JUDGED_SECONDS, estimate_verification
from infra.monthly_costs import HOURS_OF_A_MONTH
from infra.schedules import ANY, CRON, RATE, count_starts

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEDULE: Final = "VerificationSchedule"
"""The parameter of a replication."""
MOST_BUFFERED_SECONDS: Final = 120
"""Of all together: what a judge takes for lost is three minutes old, with what else is on a change's way."""
DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class ScheduledVerification:
    """A replication's schedule, and what it costs in US dollars, by the table as of the last hours."""

    schedule: str
    usd_each: float
    usd_monthly: float | None
    """None where the schedule is none, which AWS will refuse."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        return {"schedule": self.schedule, "usd_each": self.usd_each, "usd_monthly": self.usd_monthly}


def plan_schedule(
    dynamodb: Any, table: str, given: Mapping[str, str], deployed: Mapping[str, str]
) -> ScheduledVerification | None:
    """Return the schedule of a table's replication, by its parameters that are given and those it has; None for none.

    Raises WrongUseError where changes wait longer than a judge does, or it is new and the table cannot be exported.
    """
    before = deployed.get(SCHEDULE, "")
    schedule = given.get(SCHEDULE, before)
    if not schedule:
        return None
    buffered = sum(int({**deployed, **given}.get(name, seconds)) for name, seconds in BUFFERS.items())
    if buffered > MOST_BUFFERED_SECONDS:
        raise WrongUseError(
            f"{SCHEDULE} takes what differs for three minutes for a difference, and changes are collected for"
            f" {buffered} s: have {', '.join(BUFFERS)} be at most {MOST_BUFFERED_SECONDS} together, or verify by"
            f" `dynaurora verify --settle {buffered + MOST_BUFFERED_SECONDS}`."
        )
    items, size_bytes = 0, 0
    try:
        facts = dynamodb.describe_table(TableName=table)["Table"]
        items, size_bytes = int(facts.get("ItemCount", 0)), int(facts.get("TableSizeBytes", 0))
        if schedule != before and not can_export(dynamodb, table):
            raise WrongUseError(
                f"{SCHEDULE} has the table {table} exported, which it cannot be without point-in-time recovery. Switch"
                f" that on: aws dynamodb update-continuous-backups --table-name {table}"
                " --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
            )
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"ResourceNotFoundException", "TableNotFoundException"}:
            raise  # a table that is not there is made, with what it needs
    each, starts = estimate_verification(items, size_bytes, JUDGED_SECONDS), count_starts(schedule)
    return ScheduledVerification(schedule, round(each, 4), None if starts is None else round(each * starts, 2))


def bound_period(schedule: str) -> timedelta | None:
    """Return what passes at most between two starts of a schedule; None where it does not go on for ever, or is none.

    Of `cron(…)` it is told by what is chosen: a month, a day, a weekday, or none of them.
    """
    starts, cron = count_starts(schedule), CRON.fullmatch(schedule)
    if starts and RATE.fullmatch(schedule):
        return timedelta(hours=HOURS_OF_A_MONTH / starts)
    if cron is None or cron["year"] not in ANY:
        return None
    if cron["month"] not in ANY:
        return 366 * DAY
    if cron["day"] not in ANY:
        return 62 * DAY  # not every month has a 31st
    if cron["weekday"] in ANY:
        return DAY
    return 35 * DAY if {"#", "L"} & {*cron["weekday"]} else 7 * DAY
