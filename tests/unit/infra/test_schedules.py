"""How often a schedule starts something in a month, by what it says."""

import pytest

from infra.schedules import HOURLY, REPROCESSING, count_reprocesses, count_starts
from tests.infrastructure.deployment import read_template

DAYS = 730 / 24


@pytest.mark.parametrize(
    ("schedule", "starts"),
    [
        ("", 0),
        ("rate(1 hour)", 730),
        ("rate(7 days)", 730 / 168),
        ("rate(30 minutes)", 1460),
        ("cron(0 3 * * ? *)", DAYS),
        ("cron(0/30 8-17 ? * MON-FRI *)", 2 * 10 * 5 * DAYS / 7),
        ("cron(*/15 * * * ? *)", 4 * 24 * DAYS),
        ("cron(0 3 ? * SUN *)", DAYS / 7),
        ("cron(0 3 ? * FRI-MON *)", 4 * DAYS / 7),
        ("cron(0 3 ? * 7-1 *)", 2 * DAYS / 7),
        ("cron(0 3 ? * L *)", DAYS / 7),
        ("cron(0 3 ? * FRI#2 *)", 1),
        ("cron(0 3 ? * 6L *)", 1),
        ("cron(0 3 1,15,31 * ? *)", 3),
        ("cron(0 3 1,L * ? *)", 2),
        ("cron(0 3 15W * ? *)", 1),
        ("cron(0 3 1 JAN,jul ? *)", 2 / 12),
        ("cron(0 3 1 1/3 ? *)", 4 / 12),
        ("cron(0,0,5 22-1 1 * ? *)", 2 * 4),
        ("cron(0 3 1 1 ? 2027)", 1 / 12),
        ("cron(0 3 1 1 ? 2027-2030,2040/2)", 1 / 12),
        ("cron(0 3 ? * * *)", DAYS),
        ("cron(0 3 L-3,LW * ? *)", 2),
        ("cron(0 3 ? * friL,TUE#1 *)", 2),
    ],
)
def test_a_schedule_tells_how_often_it_starts_in_a_month(schedule, starts):
    assert count_starts(schedule) == pytest.approx(starts)


@pytest.mark.parametrize(
    "schedule",
    [
        "rate(0 days)",
        "hourly",
        "cron(0 3)",
        "cron(60 3 * * ? *)",
        "cron(0 3 0 * ? *)",
        "cron(0 3 ? * SOMEDAY *)",
        "cron(0/0 3 * * ? *)",
        "cron(0 3 , * ? *)",
        "cron(0 3 ? * XYZL *)",
        "cron(0 3 ? * 8#1 *)",
        "cron(0 3 99W * ? *)",
        "cron(0 3 L-99 * ? *)",
        "cron(0 3 6L * ? *)",
        "cron(0 3 ? * 6W *)",
        "cron(1_0 3 * * ? *)",
        "cron(+5 3 * * ? *)",
        "cron(0/-5 3 * * ? *)",
        "cron(0/ 3 * * ? *)",
        "cron(5- 3 * * ? *)",
        "cron(? 3 * * ? *)",
        "cron(0 ?/2 * * ? *)",
        "cron(٣ 3 * * ? *)",
        "cron(0 3 ? * ſUN *)",
        "cron(0 3 * * ? abc)",
        "cron(0 3 * * ? 1969)",
        "cron(0 3 * * ? 2200)",
        "cron(0 3 * * * *)",
        "cron(0 3 ? * ? *)",
        "cron(0 3 1 * SUN *)",
    ],
)
def test_what_is_none_tells_nothing(schedule):
    assert count_starts(schedule) is None


def test_what_failed_is_looked_for_as_the_template_says_unless_told():
    assert read_template("replication")["Parameters"][REPROCESSING]["Default"] == HOURLY
    looks = [count_reprocesses(given) for given in ({}, {REPROCESSING: ""}, {REPROCESSING: "rate(1 day)"})]
    assert looks == [730, 0, pytest.approx(730 / 24)]
