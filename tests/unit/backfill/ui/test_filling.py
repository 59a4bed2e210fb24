import pytest

from backfill.kinds import BACKFILL, REPROCESS
from backfill.ui.filling import describe_reported
from tests.support.run_reports import CASES


@pytest.mark.parametrize(("kind", "name"), [(BACKFILL, "succeeded"), (REPROCESS, "reprocess")])
def test_a_runs_page_has_its_report_without_what_it_draws_and_the_command_that_opens_it(kind, name):
    report, *_ = CASES[name]
    told = dict(describe_reported(kind, report))
    assert "phases" not in told
    assert told.get("cost", "").startswith("about $") is (kind is BACKFILL)
    assert told["its page"] == f"dynaurora report {report['run']} --open"
    assert "GB-second" not in "".join(told.values())
