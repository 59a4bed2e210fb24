"""Asking the local DynamoDB and dynalite the same."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Date": "20260101T000000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host;x-amz-date;x-amz-target, Signature=0",
}
TABLES = {
    "number": [("k", "HASH", "N")],
    "sorted": [("k", "HASH", "S"), ("s", "RANGE", "N")],
    "binary": [("k", "HASH", "B")],
}
"""Name, kind and type of each table's keys."""


@dataclass(frozen=True)
class Failure:
    """An error, by its kind: the messages of the two are not compared."""

    kind: str


class Asked:
    """One of the two, asked without an SDK, which would refuse or mend what is sent."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(self, operation: str, request: dict[str, Any]) -> Any:
        """Return the answer, or the Failure."""
        headers = HEADERS | {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        self._connection.request("POST", "/", json.dumps(request), headers)
        answer = self._connection.getresponse()
        content = json.loads(answer.read())
        return content if answer.status == 200 else Failure(content["__type"].rpartition("#")[2])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def create_table(self, name: str, keys: list[tuple[str, str, str]]) -> None:
        """Create a table and wait for it."""
        self.ask(
            "CreateTable",
            {
                "TableName": name,
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [{"AttributeName": key, "KeyType": kind} for key, kind, _ in keys],
                "AttributeDefinitions": [{"AttributeName": key, "AttributeType": of} for key, _, of in keys],
            },
        )
        while self.ask("DescribeTable", {"TableName": name})["Table"]["TableStatus"] != "ACTIVE":
            time.sleep(0.01)


@dataclass(frozen=True)
class Both:
    """The local DynamoDB and dynalite, with the same tables."""

    local: Asked
    dynalite: Asked
    tables: dict[str, str]
    """By their kind, as in TABLES."""

    def ask(self, operation: str, request: dict[str, Any]) -> tuple[Any, Any]:
        """Return the answers of the local DynamoDB and of dynalite."""
        return self.local.ask(operation, request), self.dynalite.ask(operation, request)

    def clear(self) -> None:
        """Delete all items."""
        for kind, table in self.tables.items():
            for one in (self.local, self.dynalite):
                for item in one.ask("Scan", {"TableName": table})["Items"]:
                    key = {name: item[name] for name, _, _ in TABLES[kind]}
                    one.ask("DeleteItem", {"TableName": table, "Key": key})
