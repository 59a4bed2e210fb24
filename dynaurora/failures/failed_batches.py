"""Failed batches: one JSON object for each batch that Aurora did not take, kept until someone deals with it.

    {"batch_id": "…", "batch": {descriptor}, "error": "MalformedBatchError", "reason": "…", "remedy": "…",
     "attempts": 1, "first_failed_at": "2026-11-23T08:15:00Z", "last_failed_at": "…", "execution": "arn:…"}

`attempts` counts the executions that gave the batch up, each after its own retries. A batch of a backfill that could
not even be converted has no descriptor yet: `batch` is null, and `conversion` is what convert_export was asked for.
One that names no mapping, as somebody may start an import of, is kept in `failed_batches/mapping=-/`. No reprocess
takes it up: nobody knows whose it is.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.batches.batch import Batch
from dynaurora.batches.conversion import is_conversion, take_fields
from dynaurora.errors import InvalidBatchError, remedy_for
from dynaurora.escaping import escape_text
from dynaurora.failures.runbooks import runbook_for
from dynaurora.mappings.mapping import NAME

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.failures.notices import Notices

UNNAMED = "-"
"""What stands for the mapping of a batch that names none; no mapping can be called so."""
MAX_REASON = 2000
MAX_ERROR_NAME = 200
"""Characters of an error's name; those of AWS have fewer."""
MAX_SUBJECT = 100
"""Characters of an SNS subject (Amazon SNS API Reference, `Publish`)."""


def record_failed_batch(event: dict[str, Any], store: ObjectStore, bucket: str, notices: Notices) -> dict[str, Any]:
    """Write the record of a failed batch, and return what the notification says, and whether it is due.

    `event` is `{"batch": {…}, "error": {"Error": …, "Cause": …}, "execution": {"id": …}}`, whatever its batch
    looks like: a descriptor that is no descriptor is kept too, under a name of what it is. The batch of a failed
    conversion is what convert_export was asked for, which has `run` and the planned batch.
    """
    error, reason = read_error(event.get("error"))
    batch_id = batch_id_of(event)
    key = keys.failed_batch(notices.mapping, batch_id)
    earlier = read_record(read_or_none(store, bucket, key) or b"")
    time = datetime.now(UTC)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ")
    execution = (event.get("execution") or {}).get("id")
    is_told_again = execution is not None and earlier.get("execution") == execution  # the first answer was lost
    conversion = conversion_of(event)
    record = {
        "batch_id": batch_id,
        "batch": None if conversion else event.get("batch"),
        **({"conversion": conversion} if conversion else {}),
        "error": error,
        "reason": reason,
        "remedy": remedy_for(error),
        "attempts": attempts_of(earlier) + (not is_told_again),
        "first_failed_at": earlier.get("first_failed_at", now),
        "last_failed_at": now,
        "execution": execution,
    }
    store.write(bucket, key, json.dumps(record, indent=2).encode())
    due = notices.claim(error, str(execution), time)
    return {"bucket": bucket, "key": key, "notify": due, **describe_failed_batch(record, notices.mapping, bucket, key)}


def read_record(body: bytes) -> dict[str, Any]:
    """Return the record of a failed batch; an empty one where the bytes are none, whoever wrote them."""
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        record = None
    return record if isinstance(record, dict) else {}


def attempts_of(record: dict[str, Any]) -> int:
    """Return how often a batch failed; 0 where its record does not say."""
    attempts = record.get("attempts")
    return attempts if type(attempts) is int else 0


def describe_failed_batch(record: dict[str, Any], mapping: str, bucket: str, key: str) -> dict[str, Any]:
    """Return the record's facts with the subject and message of its notification.

    Of a batch that was made of failed records, the records themselves are taken up, wherever they are kept.
    """
    batch = record["batch"]
    is_remade = isinstance(batch, dict) and batch.get("source") == "reprocess"
    again = f"dynaurora reprocess start {mapping}" + ("" if is_remade else f" --prefix {key}")
    if mapping == UNNAMED:
        again = "start the import again with this execution's input and the mapping that it is for, then delete this"
    subject = f"dynaurora: batch {record['batch_id'][:12]} failed: {record['error']}"
    lines = [
        f"Batch {record['batch_id']} was not applied to Aurora.",
        f"Error: {record['error']}",
        f"Reason: {record['reason']}",
        f"Next: {record['remedy']}",
        f"Then: {again}",
        f"Attempts: {record['attempts']}, first at {record['first_failed_at']}",
        f"Kept in: s3://{bucket}/{key}",
        f"Execution: {record['execution']}",
        f"Runbook: {runbook_for(record['error'])}",
    ]
    facts = {name: record[name] for name in ("batch_id", "error", "reason", "remedy", "attempts")}
    return {**facts, "subject": subject[:MAX_SUBJECT], "message": "\n".join(lines)}


def read_error(error: Any) -> tuple[str, str]:
    """Return an error's name and reason, from what a Catch recorded.

    The Cause of a Lambda error is JSON with an errorMessage, which ends with the remedy if it is one of ours; of
    any other error it is plain text.
    """
    caught = error if isinstance(error, dict) else {}
    name, cause = str(caught.get("Error") or "Unknown"), str(caught.get("Cause") or "")
    with suppress(KeyError, TypeError, ValueError):
        cause = json.loads(cause)["errorMessage"]
    return escape_text(name, MAX_ERROR_NAME), escape_text(str(cause).removesuffix(remedy_for(name)).strip(), MAX_REASON)


def read_import_error(error: Any) -> tuple[str, str]:
    """Return the name and the reason of what an import failed with, from what the Catch of its execution recorded.

    The Cause is the description of the execution, which has the Error and the Cause that it ended with (Step Functions
    Developer Guide, "Run a Job (.sync)"). One that ended otherwise, or was not started, is told of as it is.
    """
    with suppress(AttributeError, TypeError, ValueError):
        ended = json.loads(error.get("Cause"))
        if ended.get("Error"):
            return read_error(ended)
    return read_error(error)


def find_import(error: Any) -> str | None:
    """Return the execution of import_batch that failed, from what the Catch of the state that ran it recorded.

    None where there was none: it was not started, or was waited for in vain.
    """
    with suppress(AttributeError, TypeError, ValueError):
        execution = json.loads(error.get("Cause")).get("ExecutionArn")
        return execution if isinstance(execution, str) else None
    return None


def batch_id_of(event: dict[str, Any]) -> str:
    """Return the batch's id, or where the descriptor is not one, a digest of it.

    One that is not converted is named by its run and number. Each stays the same from attempt to attempt, so that the
    same failure is kept once.
    """
    conversion = conversion_of(event)
    if conversion:
        return f"{conversion['run']}-{conversion['batch']['number']:06}"
    try:
        return Batch.from_event(event).id
    except InvalidBatchError:
        text = json.dumps(event.get("batch"), sort_keys=True)
        return "invalid-" + hashlib.sha256(text.encode()).hexdigest()[:32]


def mapping_of(event: dict[str, Any]) -> str:
    """Return the mapping that the batch is for, whatever else is wrong with it.

    UNNAMED where its descriptor names none, nor a key that does.
    """
    batch = event.get("batch")
    named = batch.get("mapping") if isinstance(batch, dict) else None
    if isinstance(named, str) and NAME.fullmatch(named):
        return named
    objects = batch.get("objects") if isinstance(batch, dict) else None
    for item in objects if isinstance(objects, list) else ():
        with suppress(AttributeError, InvalidBatchError, TypeError):
            return keys.LandingKey.parse(item.get("key")).mapping
    return UNNAMED


def run_of(event: dict[str, Any]) -> str | None:
    """Return the run that the batch is of; None for a stream's, and where the descriptor names none."""
    batch = event.get("batch")
    run = batch.get("run") if isinstance(batch, dict) else None
    return run if isinstance(run, str) else None


def conversion_of(event: dict[str, Any]) -> dict[str, Any] | None:
    """Return what convert_export was asked for, where that is what failed."""
    asked: Any = event.get("batch")
    return take_fields(asked) if is_conversion(asked) else None
