"""A pipeline of dlt from a DynamoDB table to MySQL, as its documentation has it for a source that it does not ship.

    python dlt_pipeline.py TABLE DATABASE

A resource over boto3's scan, merged by the table's key, incremental by `updated_at`; values nested in others stay in
JSON columns. Sets and boto3's Binary, which dlt does not know, are handed over as lists and bytes; JSON is written by
dlt's own encoder, for SQLAlchemy's stops at a Decimal.
Documentation: dlthub.com/docs/general-usage/resource, …/incremental-loading, …/dlt-ecosystem/destinations/sqlalchemy.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import boto3
import dlt
from boto3.dynamodb.conditions import Attr
from boto3.dynamodb.types import Binary
from dlt.common.json import json
from sqlalchemy import URL

if TYPE_CHECKING:
    from collections.abc import Iterator


def plain(value: Any) -> Any:
    """Return a value of boto3's as dlt takes it."""
    if isinstance(value, Binary):
        return value.value  # type: ignore[attr-defined]  # of the stubs
    if isinstance(value, set):
        return [plain(member) for member in value]
    if isinstance(value, list):
        return list(map(plain, value))
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return value


def scan(name: str, newer_than: str | None) -> Iterator[dict[str, Any]]:
    """Yield the items of a table, all or those that are newer."""
    table = boto3.resource("dynamodb").Table(name)
    chosen: dict[str, Any] = {"FilterExpression": Attr("updated_at").gt(newer_than)} if newer_than else {}
    while True:
        answer = table.scan(**chosen)
        yield from map(plain, answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        chosen["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def main(table: str, database: str) -> None:
    """Load what is new of a table."""

    @dlt.resource(name=table, primary_key="pk", write_disposition="merge", max_table_nesting=0)  # type: ignore[untyped-decorator]
    def items(updated_at: Any = dlt.sources.incremental("updated_at")) -> Iterator[dict[str, Any]]:  # noqa: B008
        yield from scan(table, updated_at.last_value)

    address = URL.create(
        "mysql+pymysql",
        username=os.environ["MYSQL_USER"],
        password=os.environ["MYSQL_PWD"],
        host=os.environ["MYSQL_HOST"],
        port=int(os.environ["MYSQL_TCP_PORT"]),
        database=database,
        query={"ssl_ca": os.environ["MYSQL_CA"], "charset": "utf8mb4"},
    )
    pipeline = dlt.pipeline(
        pipeline_name=table,
        destination=dlt.destinations.sqlalchemy(
            address.render_as_string(hide_password=False), engine_kwargs={"json_serializer": json.dumps}
        ),
        dataset_name=database,
    )
    pipeline.run(items())


if __name__ == "__main__":
    main(*sys.argv[1:])
