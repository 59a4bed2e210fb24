from datetime import UTC, datetime

import pytest

from backfill.comparing_exports import describe_failure
from backfill.runs.executions import Execution

BEGAN = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("execution", "told"),
    [
        (None, "it is not there."),
        (Execution("arn", "a", "TIMED_OUT", BEGAN), "TIMED_OUT."),
        (Execution("arn", "a", "FAILED", BEGAN, error="ExportFailed"), "ExportFailed."),
        (
            Execution("arn", "a", "FAILED", BEGAN, error="ExportFailed", cause="It is away."),
            "ExportFailed: It is away.",
        ),
    ],
    ids=["gone", "no error", "no cause", "a cause"],
)
def test_how_a_run_failed_is_told_as_a_sentence(execution, told):
    assert describe_failure(execution) == told
