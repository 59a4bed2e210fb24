"""The program that somebody writes in an afternoon: scan the table, and upsert each item as JSON, 500 at a time.

    python hand_written.py TABLE DATABASE

It runs again to follow changes. Numbers become int or float, as the encoders do that people copy (Apache Airflow's
`DynamoDBToS3Operator` makes floats of all), sets become lists, binary becomes base64.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import pymysql
from boto3.dynamodb.types import Binary

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 500
TABLE = "CREATE TABLE IF NOT EXISTS `{}` (pk VARCHAR(768) NOT NULL PRIMARY KEY, updated_at VARCHAR(40), item JSON)"
UPSERT = (
    "INSERT INTO `{}` (pk, updated_at, item) VALUES (%s, %s, %s)"
    " ON DUPLICATE KEY UPDATE updated_at = VALUES(updated_at), item = VALUES(item)"
)


def encode(value: Any) -> Any:
    """Return a value of boto3's as JSON has it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Binary):
        return base64.b64encode(value.value).decode()  # type: ignore[attr-defined]  # of the stubs
    if isinstance(value, set):
        return list(value)
    raise TypeError(f"{type(value)} is not JSON")


def scan(name: str) -> Iterator[dict[str, Any]]:
    """Yield all items of a table."""
    table = boto3.resource("dynamodb").Table(name)
    answer = table.scan()
    yield from answer["Items"]
    while "LastEvaluatedKey" in answer:
        answer = table.scan(ExclusiveStartKey=answer["LastEvaluatedKey"])
        yield from answer["Items"]


def main(table: str, database: str) -> None:
    """Copy a table."""
    connection = pymysql.connect(
        host=os.environ["MYSQL_HOST"],
        port=int(os.environ["MYSQL_TCP_PORT"]),
        user=os.environ["MYSQL_USER"],
        password=os.environ["MYSQL_PWD"],
        database=database,
        charset="utf8mb4",
        ssl={"ca": os.environ["MYSQL_CA"]},
    )
    rows = []
    with connection.cursor() as cursor:
        cursor.execute(TABLE.format(table))
        for item in scan(table):
            rows.append((item["pk"], item["updated_at"], json.dumps(item, default=encode)))
            if len(rows) == BATCH:
                cursor.executemany(UPSERT.format(table), rows)
                rows.clear()
        if rows:
            cursor.executemany(UPSERT.format(table), rows)
    connection.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
