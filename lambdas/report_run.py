"""Report run: what a run did → S3 reports/, for machines and for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.aws.executions import ExecutionHistory
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import REPROCESS
from dynaurora.batches.retry_notes import read_retry_causes
from dynaurora.failures.notices import Notices
from dynaurora.failures.refused_examples import read_refused_examples
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.runs.ends import find_failure, is_own, name_mapping, name_run
from dynaurora.runs.ignored_attributes import read_ignored
from dynaurora.runs.report_backfill import Memory, build_backfill_report, list_failed_batches
from dynaurora.runs.report_page import write_report
from dynaurora.runs.report_reprocess import report_reprocess
from dynaurora.runs.requests import name_reprocess, name_verification
from dynaurora.settings import ReportRunSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from dynaurora.aws.objects import ObjectStore

settings = ReportRunSettings.from_environment()
memory = Memory(settings.convert_memory_mb, settings.import_memory_mb)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Write the report of a run, whatever its end, and return the failure it tells of."""
    state, execution, store = event["input"], event["execution"], S3Objects()
    is_reprocess = event.get("kind") == REPROCESS
    if state.get("judge"):  # as it was started: it was not opened, and may have no name yet
        state = {**state, "run": name_verification(state, execution["started"])}
    named = {"run": name_reprocess(state, execution["started"])} if is_reprocess else state
    run = name_run(named, execution["name"])
    mapping = name_mapping(state)
    if mapping is not None:
        observe_mapping(mapping)
    identify(run=run)
    report_kind = report_reprocess if is_reprocess else report_backfill
    report, failure = report_kind(state, run, execution, store)
    count("RunsFailed" if failure else "RunsSucceeded", 1)
    key = unwritten = None
    if report is not None and mapping is not None:
        key = keys.report(mapping, run)
        unwritten = write_report(store, settings.landing_bucket, mapping, run, report)
    logger.info("Run reported", extra={"key": key, "error": (failure or {}).get("error"), "unwritten": unwritten})
    due = failure is not None and claim_notice(mapping, failure["error"], execution["id"], store)
    return {"bucket": settings.landing_bucket, "key": key, "failure": failure, "notify": due}


def report_backfill(
    state: dict[str, Any], run: str, execution: dict[str, str], store: ObjectStore
) -> tuple[dict[str, Any] | None, dict[str, str] | None]:
    """Return the report of a backfill, unless it is another execution's, and what it failed for, if it did."""
    arn = execution["id"]
    failure = find_failure(state, arn)
    if not is_own(failure):
        return None, failure
    failures = list_failed_batches(store, settings.landing_bucket, state["mapping"], run, execution["started"])
    ignored = read_ignored(store, settings.landing_bucket, state["mapping"], run)
    refused = (state.get("totals") or {}).get("rejected")
    examples = read_refused_examples(store, settings.landing_bucket, state["mapping"], run) if refused else []
    causes = read_retry_causes(store, settings.landing_bucket, state["mapping"], run)
    steps = ExecutionHistory().steps(arn)
    return build_backfill_report(state, arn, steps, failures, memory, ignored, examples, causes), failure


def claim_notice(mapping: str | None, error: str, execution: str, store: ObjectStore) -> bool:
    """Tell whether people are to be told of a failed run now; of one that names no mapping they always are."""
    if mapping is None:
        return True
    notices = Notices(store, settings.landing_bucket, mapping, settings.notice_interval_seconds)
    return notices.claim(f"run-{error}", execution, datetime.now(UTC))
