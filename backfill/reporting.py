"""Reports of what the command line does itself: verifications and repairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.aws_errors import explain_any
from backfill.terminal.console import say
from dynaurora import keys
from dynaurora.errors import DynauroraError
from dynaurora.runs.report_verification import build_verification_report, read_report_before
from dynaurora.verification.verdicts import UNEXPLAINED

if TYPE_CHECKING:
    from datetime import datetime

    from backfill.deployment.deployments import Deployment
    from backfill.verifying import Verification
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping


def leave_report(
    store: ObjectStore,
    deployment: Deployment,
    mapping: Mapping,
    run: str,
    via: str,
    started_at: datetime,
    found: dict[str, Any],
) -> str | None:
    """Write the report of what has just ended, and its page; return where it is.

    None where it cannot be written, which is said: what was found stands all the same.
    """
    from dynaurora.runs.report_page import write_report  # which imports Jinja2, as few commands have to

    try:
        before = read_report_before(store, deployment.bucket, mapping.name, run)
        report = build_verification_report(mapping, run, via, started_at, found, before)
        unwritten = write_report(store, deployment.bucket, mapping.name, run, report)
    except (DynauroraError, BotoCoreError, ClientError) as error:
        say(f"The report could not be written, which takes s3:PutObject of reports/: {explain_any(error)}")
        return None
    if unwritten:
        say(f"The page of the report could not be made: {unwritten}")
    return f"s3://{deployment.bucket}/{keys.report(mapping.name, run)}"


def describe_found(verification: Verification, *, whole: bool) -> dict[str, Any]:
    """Return what a verification found, as its report has it."""
    tally = verification.tally
    return {
        "verification": {
            "counts": tally.as_dict(),
            "unexplained": sum(getattr(tally, verdict) for verdict in UNEXPLAINED),
            "whole": whole,
        },
        "reasons": dict(tally.reasons),
        "differences": [suspect.as_dict() for suspect in verification.proved],
    }
