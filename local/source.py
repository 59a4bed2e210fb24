"""A source table that is older than its stack: created and filled before its stream is switched on."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import KeySchemaElementTypeDef

    from dynaurora.mappings.mapping import Mapping


def has_table(dynamodb: DynamoDBClient, name: str) -> bool:
    """Tell whether there is a table of a name."""
    try:
        dynamodb.describe_table(TableName=name)
    except dynamodb.exceptions.ResourceNotFoundException:
        return False
    return True


def create_table(dynamodb: DynamoDBClient, mapping: Mapping, key_types: dict[str, str]) -> None:
    """Create the table of a mapping, if it is not there; it can be exported, and has no stream.

    Keys are of the given types, or else strings. Raises the SDK's errors.
    """
    keys: list[KeySchemaElementTypeDef] = [{"AttributeName": mapping.partition_key, "KeyType": "HASH"}]
    if mapping.sort_key:
        keys.append({"AttributeName": mapping.sort_key, "KeyType": "RANGE"})
    attributes: Any = [
        {"AttributeName": name, "AttributeType": key_types.get(name, "S")} for name in mapping.key_attributes
    ]
    with suppress(dynamodb.exceptions.ResourceInUseException):
        dynamodb.create_table(
            TableName=mapping.source_table,
            KeySchema=keys,
            AttributeDefinitions=attributes,
            BillingMode="PAY_PER_REQUEST",
        )
    dynamodb.get_waiter("table_exists").wait(TableName=mapping.source_table, WaiterConfig={"Delay": 1})
    dynamodb.update_continuous_backups(
        TableName=mapping.source_table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )


def switch_on_stream(dynamodb: DynamoDBClient, table: str) -> str:
    """Switch on a table's stream, if it is off, and return its ARN."""
    description = dynamodb.describe_table(TableName=table)["Table"]
    if not description.get("StreamSpecification", {}).get("StreamEnabled"):
        description = dynamodb.update_table(
            TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        )["TableDescription"]
    return description["LatestStreamArn"]
