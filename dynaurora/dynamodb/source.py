"""The source of a replication: its table, stream and event source mapping, and what is wrong with them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import ClientError

from dynaurora.aws import sdk
from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEW_IMAGES: Final = frozenset({"NEW_IMAGE", "NEW_AND_OLD_IMAGES"})
PASSING_STATES: Final = frozenset({"Creating", "Enabling", "Updating"})
"""States of an event source mapping that lead to Enabled by themselves (Lambda API)."""
PASSING_WAIT_SECONDS: Final = 10
KEY_OF_S3: Final = "alias/aws/s3"
"""AWS's own key for S3 in each account."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """What AWS says of the source table, its stream and what reads it."""

    table: str
    table_arn: str | None = None
    """None where there is no such table."""
    recovery: bool = False
    """Whether its point-in-time recovery is on."""
    keys: tuple[str, ...] = ()
    """The attributes of its key, the partition key first."""
    key_types: tuple[str, ...] = ()
    """Their type descriptors, S, N or B; none where nobody said."""
    stream_arn: str | None = None
    """The enabled stream; None where there is none."""
    stream_view: str | None = None
    stream_enabled_at: datetime | None = None
    mapping: str = ""
    """Id of the event source mapping."""
    mapping_state: str | None = None
    """None where there is no such event source mapping."""
    mapping_stream_arn: str | None = None
    mapping_changed_at: datetime | None = None
    mapping_result: str | None = None
    """Of its last attempt, `PROBLEM: …` where that failed (Lambda API, `LastProcessingResult`)."""

    @property
    def is_failing(self) -> bool:
        """Whether what reads the stream fails at it."""
        return (self.mapping_result or "").startswith("PROBLEM")


class Source(Protocol):
    """What the check needs of AWS."""

    def describe(self) -> SourceState:
        """Return the table's state as it is now."""
        ...

    def find_key(self, bucket: str) -> str:
        """Return the KMS key that a bucket encrypts with what it is given."""
        ...


def find_problems(
    state: SourceState, replication: str, export_arn: str | None, *, is_given: bool = False
) -> Iterator[str]:
    """Yield what is in the way of a replication, which has its mapping's name, and does not pass by itself.

    Each with what to do.
    """
    yield from find_table_problems(state, export_arn, is_given=is_given)
    if state.table_arn is not None:
        yield from find_mapping_problems(state, replication)


def find_table_problems(state: SourceState, export_arn: str | None, *, is_given: bool = False) -> Iterator[str]:
    """Yield what the table lacks, or what is wrong with the export that is given of it, by its ARN or otherwise."""
    if state.table_arn is None:
        yield f"there is no table {state.table} in this account and region: correct SourceTableName"
        return
    if export_arn is not None and not export_arn.startswith(f"{state.table_arn}/export/"):
        yield f"the export {export_arn} is of another table than {state.table_arn}: give one of this table"
    if export_arn is None and not is_given and not state.recovery:
        yield "its point-in-time recovery is off: `aws dynamodb update-continuous-backups` switches it on"
    yield from find_stream_problems(state)


def find_stream_problems(state: SourceState) -> Iterator[str]:
    """Yield what is wrong with the table's stream."""
    if state.stream_arn is None:
        yield "its stream is off: `aws dynamodb update-table --stream-specification` switches it on"
    elif state.stream_view not in NEW_IMAGES:
        yield f"its stream's view is {state.stream_view}: it needs a stream of NEW_IMAGE or NEW_AND_OLD_IMAGES"


def find_mapping_problems(state: SourceState, replication: str) -> Iterator[str]:
    """Yield what is wrong with the event source mapping that reads the table's stream for a replication."""
    if state.mapping_state is None:
        yield f"there is no event source mapping {state.mapping}: deploy the stack again"
    elif state.mapping_state not in PASSING_STATES | {"Enabled"}:
        yield (
            f"the event source mapping {state.mapping} is {state.mapping_state}:"
            f" `dynaurora resume {replication}` has it read again"
        )
    elif state.stream_arn is not None and state.mapping_stream_arn != state.stream_arn:
        yield (
            f"the event source mapping {state.mapping} reads {state.mapping_stream_arn}, and the table's stream is"
            f" {state.stream_arn}: deploy the stack with that stream"
        )


def seconds_to_wait(state: SourceState, now: datetime) -> int:
    """Return after how many seconds to look again; 0 where the mapping has been enabled for long enough."""
    if state.mapping_state in PASSING_STATES:
        return PASSING_WAIT_SECONDS
    if state.mapping_changed_at is None:
        return 0
    enabled_for = (now - state.mapping_changed_at).total_seconds()
    return max(0, math.ceil(SNAPSHOT_MARGIN_SECONDS - enabled_for))


@dataclass(frozen=True)
class AwsSource:
    """The real one."""

    table: str
    mapping: str
    """Id of the event source mapping."""

    def describe(self) -> SourceState:
        """Return the table's state as it is now."""
        state = self.describe_table()
        if state.table_arn is None:
            return state
        with sdk.translated_errors():
            mapping = _unless_missing(sdk.client("lambda").get_event_source_mapping, UUID=self.mapping)
        return replace(
            state,
            mapping=self.mapping,
            mapping_state=mapping.get("State"),
            mapping_stream_arn=mapping.get("EventSourceArn"),
            mapping_changed_at=mapping.get("LastModified"),
            mapping_result=mapping.get("LastProcessingResult"),
        )

    def is_read(self) -> bool:
        """Tell whether what waits in the stream is being read: not while its reader is disabled, or fails.

        A result that is none, or OK, is none of a failure (Lambda API Reference, "EventSourceMappingConfiguration").
        Where there is no reader any more, nothing waits for one.
        """
        with sdk.translated_errors():
            mapping = _unless_missing(sdk.client("lambda").get_event_source_mapping, UUID=self.mapping)
        fails = str(mapping.get("LastProcessingResult")).startswith("PROBLEM")
        return not mapping or (mapping["State"] == "Enabled" and not fails)

    def find_key(self, bucket: str) -> str:
        """Return the KMS key that a bucket encrypts with what it is given; AWS's own where it names none.

        DynamoDB does not encrypt an export as its bucket does by default, but as it is told.
        """
        with sdk.translated_errors():
            answer = sdk.client("s3").get_bucket_encryption(Bucket=bucket)
        (rule,) = answer["ServerSideEncryptionConfiguration"]["Rules"]
        key: str = rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID") or KEY_OF_S3
        return key

    def describe_table(self) -> SourceState:
        """Return the state of the table and its stream alone."""
        with sdk.translated_errors():
            table = _unless_missing(sdk.client("dynamodb").describe_table, TableName=self.table).get("Table")
            if table is None:
                return SourceState(self.table)
            backups = sdk.client("dynamodb").describe_continuous_backups(TableName=self.table)
        recovery = backups["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        stream = table.get("StreamSpecification") or {}
        names = tuple(key["AttributeName"] for key in table.get("KeySchema", []))  # the partition key is the first
        types = {each["AttributeName"]: each["AttributeType"] for each in table.get("AttributeDefinitions", [])}
        is_on = bool(stream.get("StreamEnabled"))
        return SourceState(
            table=self.table,
            table_arn=table["TableArn"],
            recovery=recovery.get("PointInTimeRecoveryStatus") == "ENABLED",
            keys=names,
            key_types=tuple(types[name] for name in names if name in types),
            stream_arn=table.get("LatestStreamArn") if is_on else None,
            stream_view=stream.get("StreamViewType"),
            stream_enabled_at=_label_time(table.get("LatestStreamLabel")) if is_on else None,
        )


def _unless_missing(call: Callable[..., dict[str, Any]], **parameters: str) -> dict[str, Any]:
    """Return a call's answer, or nothing where what it asks for does not exist."""
    try:
        answer = call(**parameters)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return {}
    return answer


def _label_time(label: str | None) -> datetime | None:
    """Return the time in a stream's label, `2026-11-23T08:15:00.000`, which is UTC; None where it has none."""
    try:
        return datetime.fromisoformat(label or "").replace(tzinfo=UTC)
    except ValueError:
        return None
