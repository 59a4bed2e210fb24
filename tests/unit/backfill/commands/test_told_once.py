"""One cause is one error, however much it keeps from being done."""

from backfill.commands.doctor import merge_findings, print_findings
from backfill.commands.several import Complaints
from dynaurora.target.check_target import CHECKS, NO, UNKNOWN, YES, Finding
from tests.support.backfill_factories import DEPLOYMENT

REFUSED = "AWS refused Invoke: you may not (AccessDenied). Grant it."


def test_checks_that_nobody_answered_are_told_with_one_error(capsys):
    print_findings([Finding("the table", YES), *(Finding(check, UNKNOWN, REFUSED) for check in CHECKS)])
    printed = capsys.readouterr().out
    assert len(CHECKS) > 5
    assert printed.count(REFUSED) == 1
    assert all(check in printed for check in CHECKS)


def test_findings_that_only_look_alike_stay_apart():
    findings = [
        Finding("a", YES),
        Finding("b", YES),
        Finding("c", NO, "gone", "Make c."),
        Finding("d", NO, "gone", "Make d."),
    ]
    assert [checks for checks, _ in merge_findings(findings)] == [["a"], ["b"], ["c"], ["d"]]
    unknown = [Finding("a", UNKNOWN), Finding("b", UNKNOWN)]
    assert [checks for checks, _ in merge_findings(unknown)] == [["a"], ["b"]]


def test_what_was_not_done_to_several_for_one_reason_is_told_once(capsys):
    complaints = Complaints("not paused")
    assert not complaints
    for reason in (REFUSED, "gone", REFUSED):
        complaints.add(DEPLOYMENT, reason)
    complaints.tell()
    name = DEPLOYMENT.mapping
    assert complaints
    assert capsys.readouterr().err.splitlines() == [
        f"{name}, {name}: not paused: {REFUSED}",
        f"{name}: not paused: gone",
    ]
