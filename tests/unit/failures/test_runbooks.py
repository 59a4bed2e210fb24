from pathlib import Path

import pytest

from dynaurora.errors import RetryableError, subclasses
from dynaurora.failures import runbooks
from dynaurora.failures.runbooks import AURORA_DOWN_RUNBOOK, FAILED_BATCHES_RUNBOOK, UNAVAILABLE, runbook_for

PROJECT = Path(__file__).parents[3]
PAGES = sorted(value for value in vars(runbooks).values() if isinstance(value, str) and value.endswith(".md"))


@pytest.mark.parametrize("page", PAGES)
def test_a_message_leads_to_a_page_that_is_there(page):
    assert (PROJECT / page).is_file()


def test_a_batch_leads_to_aurora_where_that_was_away():
    assert runbook_for("ConnectionLostError") == AURORA_DOWN_RUNBOOK
    assert runbook_for("PrivilegeError") == FAILED_BATCHES_RUNBOOK
    assert runbook_for("Lambda.Unknown") == FAILED_BATCHES_RUNBOOK
    assert {error.__name__ for error in subclasses(RetryableError)} > UNAVAILABLE
