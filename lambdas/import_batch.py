"""Import batch: CSV objects in S3 → Aurora, once."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import connect_loader
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import VERIFY, Batch, read_run
from dynaurora.batches.import_batch import import_batch, mark_imported
from dynaurora.batches.retry_notes import noting_retries
from dynaurora.failures.refused_rows import RefusedRows
from dynaurora.mappings.registry import Registries
from dynaurora.observability import count, count_of_all, identify, logger, measure, metrics, observe_mapping, observed
from dynaurora.settings import ImportBatchSettings
from dynaurora.target.alterations import Lookout

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.batches.isolating import KeepRefused

settings = ImportBatchSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)
lookout = Lookout()


@observed
def lambda_handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Apply one batch to Aurora, or say that it was applied before.

    The state machine sends `{"input": {"batch": …}, "retries": 0}`; whoever calls it directly sends `{"batch": …}`.
    A reprocess names itself beside the batch, as `run`: the batch's own is the one that made it.
    """
    given = event if isinstance(event, dict) else {"input": event}  # who calls it directly may send anything
    asked = given.get("input", given)
    batch = Batch.from_event(asked)
    observe_mapping(batch.mapping)
    identify(batch=batch.id, run=batch.run)
    mapping = registries.find(batch.mapping).find_current()
    store, retries = S3Objects(), int(given.get("retries", 0))
    bucket, slots = settings.landing_bucket, settings.import_concurrency
    is_compared = batch.source == VERIFY  # what is only compared has failed nowhere
    refused = RefusedRows(store, bucket, context.invoked_function_arn)
    keep_refused: KeepRefused = (lambda *_: None) if is_compared else refused
    run = read_run(asked, "input") or batch.run
    with noting_retries(store, bucket, batch, run, retries), connect_loader(settings, load_from_s3=True) as aurora:
        result = import_batch(batch, mapping, aurora, store, bucket, keep_refused, retries, slots)
        altered = lookout.look(aurora, mapping)
    metrics.add_dimension("source", batch.source)
    count("BatchesImported", result.status == "applied")
    count("BatchesRepeated", result.status == "already_applied")
    count("RowsChanged", result.rows_changed if result.status == "applied" and not is_compared else 0)
    count("RowsRefused", result.rows_refused)
    count("TargetsAltered", bool(altered))
    count_of_all("TargetsAltered", bool(altered), bucket)
    if batch.source == "stream":
        count_of_all("BatchesImported", result.status == "applied", bucket)
    if altered:
        logger.warning("The target was altered", extra={"alterations": altered})
    if result.oldest_second is not None:
        measure("ReplicationLag", max(0.0, time.time() - result.oldest_second), unit="Seconds")
    logger.info("Batch imported", extra=asdict(result))
    let_expire(batch, store)  # of a repeated batch too: its import may have died before it came to this
    return asdict(result)


def let_expire(batch: Batch, store: ObjectStore) -> None:
    """Mark the batch's objects as imported. Those that cannot be marked are merely kept."""
    try:
        mark_imported(batch, store)
    except Exception as error:  # noqa: BLE001 (the rows are committed: whatever this is, the import has not failed)
        problem = f"{type(error).__name__}: {error}"
        logger.warning("Imported objects were not marked and will not expire", extra={"problem": problem})
