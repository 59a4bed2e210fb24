"""The DynamoDB table that a replication is to read: adopted with its stream where it is there, else created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from backfill.terminal.console import WrongUseError
from dynaurora.mappings.key_types import find_key_conflicts, guess_key_types

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping

VIEWS: Final = ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")
"""Of streams that have what an item has become."""


@dataclass(frozen=True)
class Source:
    """A table, as a deployment finds it."""

    table: str
    exists: bool
    stream_arn: str
    """Empty where it has no stream, or is not there."""
    key_types: dict[str, str]
    """The types that its keys have, or get; by attribute."""

    @property
    def step(self) -> str:
        """What is done with it, in words."""
        if not self.exists:
            keys = ", ".join(f"{name} {kind}" for name, kind in self.key_types.items())
            return f"create the table {self.table} ({keys}), with a stream and point-in-time recovery"
        if not self.stream_arn:
            return f"switch on the stream of the table {self.table}, with NEW_IMAGE"
        return f"read the stream of the table {self.table}"


def look_at_source(dynamodb: Any, mapping: Mapping) -> Source:
    """Return the table of a mapping. Raises WrongUseError where it is one that the mapping cannot be of."""
    name = mapping.source_table
    try:
        table = dynamodb.describe_table(TableName=name)["Table"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return Source(name, False, "", guess_key_types(mapping))
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    keys = {each["AttributeName"]: types[each["AttributeName"]] for each in table["KeySchema"]}
    if tuple(keys) != mapping.key_attributes:
        raise WrongUseError(
            f"The keys of the table {name} are {' and '.join(keys)}, and the mapping {mapping.name} has"
            f" {' and '.join(mapping.key_attributes)}: correct partition_key and sort_key in"
            f" mappings/{mapping.name}.json."
        )
    conflicts = list(find_key_conflicts(mapping, keys))
    if conflicts:
        raise WrongUseError(f"The table {name} does not fit the mapping {mapping.name}: {'; '.join(conflicts)}.")
    stream = table.get("StreamSpecification", {})
    if not stream.get("StreamEnabled"):
        return Source(name, True, "", keys)
    if stream["StreamViewType"] not in VIEWS:
        raise WrongUseError(
            f"The stream of the table {name} has the view {stream['StreamViewType']}, which lacks what items have"
            " become. It has to be switched off and on again with NEW_IMAGE, which its other readers notice."
        )
    return Source(name, True, table["LatestStreamArn"], keys)


def switch_on_stream(dynamodb: Any, table: str) -> str:
    """Switch on a table's stream, and return its ARN."""
    view = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    description = dynamodb.update_table(TableName=table, StreamSpecification=view)["TableDescription"]
    dynamodb.get_waiter("table_exists").wait(TableName=table)
    return str(description["LatestStreamArn"])


def can_export(dynamodb: Any, table: str) -> bool:
    """Tell whether a table has point-in-time recovery."""
    described = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    return bool(described.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") == "ENABLED")
