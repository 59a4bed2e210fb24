"""Every error this project raises, sorted by what to do about it.

    DynauroraError
    ├── RetryableError            the same work may succeed later: Step Functions retries it with backoff
    │   ├── ConnectionLostError
    │   ├── DatabaseUnavailableError
    │   ├── DeadlockError
    │   ├── KeyUnavailableError
    │   ├── LockWaitError
    │   ├── ReadOnlyError
    │   ├── RegistryUnavailableError
    │   ├── SecretRotatedError
    │   ├── SlotsTakenError
    │   ├── ThrottledError
    │   └── TooManyConnectionsError
    ├── TerminalError             the same work fails again: the batch is parked with its reason and a remedy
    │   ├── AccessDeniedError
    │   ├── AccountLockedError
    │   ├── BatchesFailedError
    │   ├── CertificateError
    │   ├── ChecksumMismatchError
    │   ├── ColumnsRefusedError
    │   ├── DatabaseError
    │   ├── ExportFailedError
    │   ├── ExportIncompleteError
    │   ├── FailuresNotSettledError
    │   ├── FunctionFailedError
    │   ├── InvalidBatchError
    │   ├── InvalidExportError
    │   ├── InvalidMappingError
    │   ├── InvalidRunError
    │   ├── InvalidSettingsError
    │   ├── MalformedBatchError
    │   ├── MissingSecretError
    │   ├── NotReadyError
    │   ├── ObjectChangedError
    │   ├── ObjectMissingError
    │   ├── PasswordPolicyError
    │   ├── PrivilegeError
    │   ├── PurgedError
    │   ├── ReconciliationError
    │   ├── RejectedItemsError
    │   ├── RotationError
    │   ├── RowCountError
    │   ├── RowsRefusedError
    │   ├── RunConflictError
    │   ├── ServerSettingsError
    │   ├── StagingError
    │   ├── SweepRefusedError
    │   ├── TargetMismatchError
    │   ├── TargetTakenError
    │   ├── UnknownMappingError
    │   ├── UnregisteredMappingError
    │   └── ViewInvalidError
    └── RejectedChange            one record that its mapping refuses: it alone goes to the failed prefix

A message says what happened, then what to do next. `ErrorEquals` in a state machine matches these class names to
the letter and knows no inheritance, so the state machines list them one by one; a test holds the lists against
this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from dynaurora.escaping import escape_text

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PATH: Final = 120
"""Characters of a path that are told: an attribute's name may have 64 KB, and whoever writes items chooses it."""
MAX_REASON_MESSAGE: Final = 4000
MAX_REASONS_TOLD: Final = 8000
"""Characters of all the reasons of a record together, wherever they are logged or kept."""


class DynauroraError(Exception):
    """Base of all errors; its message is the problem followed by the class's remedy."""

    remedy: ClassVar[str] = ""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem} {self.remedy}".strip())
        self.problem = problem


class RetryableError(DynauroraError):
    """The same work may succeed later."""

    remedy = "It is retried by itself."


class ConnectionLostError(RetryableError):
    """The connection to Aurora broke, or could not be made."""


class DatabaseUnavailableError(RetryableError):
    """Aurora answers, but cannot work: starting, failing over, out of memory or disk."""


class DeadlockError(RetryableError):
    """Aurora chose this transaction as a deadlock's victim (MySQL 1213)."""


class KeyUnavailableError(RetryableError):
    """A KMS key is disabled, waits for its deletion or is gone: what is encrypted with it cannot be read or written."""

    remedy = (
        "It is retried by itself once the key can be used: enable it with `aws kms enable-key`, after `aws kms"
        " cancel-key-deletion` where it is to be deleted; what gave up meanwhile is reprocessed or started again."
    )


class LockWaitError(RetryableError):
    """Another transaction kept a lock for longer than `innodb_lock_wait_timeout` (MySQL 1205)."""


class ReadOnlyError(RetryableError):
    """The server takes no writes: it is a reader, as the old writer is for a while after a fail-over."""

    remedy = (
        "It is retried by itself; if it goes on, give the stack the cluster's writer endpoint,"
        " or switch read_only off in the cluster's parameter group."
    )


class RegistryUnavailableError(RetryableError):
    """The registry cannot be read now, so nobody can tell which mapping is the current one."""

    remedy = (
        "It is retried by itself; where no mapping was ever activated, deploy the stack with DatabaseAdminSecretArn, or"
        " run `dynaurora mapping apply MAPPING`."
    )


class SecretRotatedError(RetryableError):
    """Aurora refused the newest password that Secrets Manager has: a rotation is under way."""

    remedy = "It is retried by itself; if it goes on, compare the secret with the database user's password."


class SlotsTakenError(RetryableError):
    """As many imports are under way as there are slots for, or tables of a target to stage batches in."""

    remedy = "It waits for a turn and is retried by itself; ImportConcurrency is how many there are."


class ThrottledError(RetryableError):
    """An AWS service asked to be called less often, or failed on its own side (5xx)."""


class TooManyConnectionsError(RetryableError):
    """Aurora has no connection left for this user (MySQL 1040, 1203, 1226)."""


class TerminalError(DynauroraError):
    """The same work would fail again."""


class AccessDeniedError(TerminalError):
    """AWS refused a call."""

    remedy = "Grant the function's role this action on this resource, then import the batch again."


class AccountLockedError(TerminalError):
    """Aurora knows the user and lets it not in: its password has expired, or its account is locked."""

    remedy = "Deploy the stack again with DatabaseAdminSecretArn, which unlocks the user, then import the batch again."


class BatchesFailedError(TerminalError):
    """More batches of a run failed than it tolerates; Step Functions' States.ExceedToleratedFailureThreshold."""

    remedy = "Mend what the failed batches of the run's report name, then start the run again: nothing is repeated."


class CertificateError(TerminalError):
    """The database's TLS certificate could not be verified."""

    remedy = "Set DATABASE_CA to the certificate authority that signed it; verification is never switched off."


class ChecksumMismatchError(TerminalError):
    """An object's MD5 is not the one that its manifest gives."""

    remedy = "Nothing of it was applied. Restore the object, or export the table again."


class ColumnsRefusedError(TerminalError):
    """A mapping asks its replica for what could lose something, or keep imports waiting: nothing was changed."""

    remedy = (
        "Nothing was changed. Let the mapping have what is there, or have a second table filled and switched to while"
        " the first one serves: `dynaurora mapping rebuild MAPPING`, docs/rebuild.md."
    )


class DatabaseError(TerminalError):
    """Aurora refused a statement for a reason that has no class of its own."""

    remedy = "Look the error number up in the MySQL manual, mend the cause, then import the batch again."


class ExportFailedError(TerminalError):
    """DynamoDB gave an export up; the state machine raises it, with DynamoDB's own reason."""

    remedy = "Nothing was imported. Mend what DynamoDB names, then start a new run."


class ExportIncompleteError(TerminalError):
    """A manifest of an export, or a data file, is not where its summary is."""

    remedy = (
        "Nothing of it was imported. Bring back what is missing, then start the run again; or give another export."
        " Copy the export as a whole where it was copied: the folder AWSDynamoDB/ with all that is in it."
    )


class FailuresNotSettledError(TerminalError):
    """Some of what a reprocess took up could not be brought to an end; it is where it was, or settled in part."""

    remedy = "Nothing is lost, and the next run takes it up. Mend the cause first where it does not pass by itself."


class FunctionFailedError(TerminalError):
    """A function that this work needs answered with an error that does not pass by itself."""

    remedy = "Its message says why; mend that, then do the same again."


class InvalidBatchError(TerminalError):
    """A batch descriptor does not have the documented fields."""

    remedy = "Start the import with the descriptor that `dynaurora.batches.batch.Batch` documents."


class InvalidExportError(TerminalError):
    """An export's manifests or data files are not what DynamoDB writes."""

    remedy = "Nothing of it was applied. Give a complete export of the table in DYNAMODB_JSON, or export again."


class InvalidMappingError(TerminalError):
    """A mapping file does not fit `mapping.schema.json`, or contradicts itself."""

    remedy = "Correct the mapping file and deploy again; `dynaurora mapping check MAPPING` says whether it holds."


class InvalidRunError(TerminalError):
    """The input of a run does not have the documented fields."""

    remedy = (
        "Start it with `dynaurora backfill start MAPPING`, or with the input that `dynaurora.runs.requests` documents."
    )


class InvalidSettingsError(TerminalError):
    """An environment variable of a function is missing or wrong."""

    remedy = "Correct the function's environment in infra/ and deploy again."


class MalformedBatchError(TerminalError):
    """A batch's CSV is empty, truncated, or not what its mapping writes."""

    remedy = (
        "Nothing of it was applied. Where somebody replaced the object, bring its earlier version back, then import the"
        " batch again; else `dynaurora backfill start MAPPING` writes the rows that it lacks."
    )


class MissingSecretError(TerminalError):
    """Secrets Manager has no such secret, or the secret lacks a field."""

    remedy = 'Create the secret as {"username": …, "password": …} and pass its ARN to the stack.'


class NotReadyError(TerminalError):
    """The source table cannot be backfilled as it is; the message names everything that is in the way."""

    remedy = "Nothing was started. Do what it says, then start the run again."


class ObjectChangedError(TerminalError):
    """An object is no longer the one its batch names: its ETag differs."""

    remedy = "The newer object has an import of its own; import the older version under its own key if it is needed."


class ObjectMissingError(TerminalError):
    """An object that a batch names does not exist."""

    remedy = "Restore the object from its earlier version, then import the batch again."


class PasswordPolicyError(TerminalError):
    """The server refuses a user's new password: too weak, used before, or given without the current one."""

    remedy = "Put a password that the server's policy takes into the loader's secret, then deploy the stack again."


class PrivilegeError(TerminalError):
    """The loader's database user lacks a grant or a role."""

    remedy = "Grant it as `dynaurora prepare --help` describes, then import the batch again."


class PurgedError(TerminalError):
    """A batch has changes so old that deletes of after them may be purged: it could bring deleted items back."""

    remedy = "Nothing of it was applied. Bring the table as it is now: `dynaurora backfill start MAPPING --sweep`."


class ReconciliationError(TerminalError):
    """The items that a run exported are not those that it accounts for, or rows did not become what they had to."""

    remedy = "What was imported stays. Compare the run's batches in `_dynaurora_imports`, then start a new run."


class RejectedItemsError(TerminalError):
    """The mapping refused more of a backfill's items than the run tolerates."""

    remedy = (
        "What was imported stays, and what was refused is kept. Mend the mapping, `dynaurora mapping try NAME --failed`"
        " shows by what, then reprocess; or start the run again with --tolerated-rejected-percentage 100."
    )


class RotationError(TerminalError):
    """A step of a rotation is asked for of a secret's version that no rotation has begun with."""

    remedy = "Nothing was changed. Start a rotation with `aws secretsmanager rotate-secret`; it asks for the steps."


class RowCountError(TerminalError):
    """A load gave another number of rows than the batch was written with."""

    remedy = (
        "Nothing of it was applied. The object is not the one that was written: bring its earlier version back, then"
        " import the batch again; a batch of a run is written again by `dynaurora backfill start MAPPING --run RUN`."
    )


class RowsRefusedError(TerminalError):
    """Aurora refuses more rows of a batch than are set aside one by one: its mapping does not fit its table."""

    remedy = (
        "Nothing of it was applied. Compare the mapping with the table, `dynaurora mapping check FILE`, or take away"
        " the constraint or trigger that refuses them, then import the batch again."
    )


class RunConflictError(TerminalError):
    """A run of this id is worked on already, or was begun with another mapping or export."""

    remedy = "Let it end or stop it with `dynaurora backfill stop RUN`, or start a run with an id of its own."


class StagingError(TerminalError):
    """The server loads from S3 into no kind of table that a batch can be staged in."""

    remedy = "Mend what the server says, then deploy again; nothing was imported."


class ServerSettingsError(TerminalError):
    """A setting of the server, which no session of ours may change, keeps a statement from running."""

    remedy = (
        "Set it in the cluster's parameter group, binlog_format to ROW or OFF, max_allowed_packet to 64 MiB or more,"
        " then import the batch again."
    )


class SweepRefusedError(TerminalError):
    """A sweep could take rows for deleted whose items were merely not imported, and cannot name them."""

    remedy = "What was imported stays. Reprocess what was rejected or failed, then start a new run with --sweep."


class TargetMismatchError(TerminalError):
    """The target's tables are missing, or their columns are not the mapping's."""

    remedy = (
        "See what is missing by `dynaurora mapping plan MAPPING`, prepare it by `dynaurora mapping apply MAPPING` or a"
        " deployment, then import the batch again."
    )


class TargetTakenError(TerminalError):
    """Two replications would write one table, of one platform or of two."""

    remedy = "Name another table in the mapping, or delete the other replication's stack; then deploy again."


class UnknownMappingError(TerminalError):
    """No mapping of that name is there."""

    remedy = "Correct the name, or add mappings/<name>.json to the project and deploy it."


class UnregisteredMappingError(TerminalError):
    """Rows were written by a mapping that the registry does not have."""

    remedy = (
        "Nothing of it was applied. Register the file that the mapping had then, `dynaurora mapping register FILE`,"
        " then import the batch again."
    )


class ViewInvalidError(TerminalError):
    """The view cannot be read: the user who made it, its definer, is gone or has lost rights to what it shows."""

    remedy = (
        "Deploy again with DatabaseAdminSecretArn of a user who stays and may SELECT from the replica by a grant of"
        " their own, or run `dynaurora prepare MAPPING --host HOST --secret-arn ARN --ca-file CA` as one: it makes the"
        " view anew, as theirs."
    )


class Reason(NamedTuple):
    """Why one record is refused.

    `rule` is a short, stable word to count by (a JSON Schema keyword, or one of this project's own),
    `path` is where in the item, as a dotted path, and `message` says what was found and what is allowed,
    in sizes and types, never with the value itself: it may be personal data.
    """

    rule: str
    path: str
    message: str

    def __str__(self) -> str:
        path, message = escape_text(self.path, MAX_PATH), escape_text(self.message, MAX_REASON_MESSAGE)
        return f"{path or 'item'}: {message} ({self.rule})"


def tell_reasons(reasons: Iterable[Reason]) -> list[str]:
    """Return reasons in words, as many as fit into MAX_REASONS_TOLD characters, and how many more there are."""
    told, left = list[str](), MAX_REASONS_TOLD
    texts = list(map(str, reasons))
    for number, text in enumerate(texts):
        left -= len(text)
        if left < 0:
            return [*told, f"and {len(texts) - number} more"]
        told.append(text)
    return told


class RejectedChange(DynauroraError):
    """One change that its mapping refuses; `reasons` has at least one entry."""

    remedy = "It is kept under the failed prefix; correct the item or the mapping, then reprocess it."

    def __init__(self, *reasons: Reason) -> None:
        super().__init__("; ".join(tell_reasons(reasons)) + ".")
        self.reasons = reasons


REMEDIES_OF_AWS = {
    "DynamoDb.PointInTimeRecoveryUnavailableException": "Switch point-in-time recovery on, then start again.",
    "DynamoDb.ExportNotFoundException": "Give the ARN of an export that `aws dynamodb list-exports` lists.",
    "DynamoDb.TableNotFoundException": "Correct SourceTableName, or create the table, then start again.",
    "DynamoDb.ExportConflictException": "Start a run with an id of its own: this one has asked for another export.",
}
"""The next step for errors that AWS raises in a state machine."""


def remedy_for(error_name: str) -> str:
    """Return the next step for an error that a state machine caught, by its name."""
    known = {cls.__name__: cls.remedy for cls in subclasses(DynauroraError)} | REMEDIES_OF_AWS
    return known.get(error_name) or "Read the execution's history for the cause, then import the batch again."


def subclasses(cls: type[DynauroraError]) -> list[type[DynauroraError]]:
    """Return all classes below `cls`, depth first, in the order they are defined."""
    return [found for child in cls.__subclasses__() for found in (child, *subclasses(child))]
