"""What dynalite and the local DynamoDB answer differently, each with who is right: the README has the same table."""

import decimal
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Any

Request = dict[str, Any]
"""A request without the table's name."""

TAKEN, REFUSED = "taken", "refused"
EXACT = decimal.Context(prec=600, Emax=9999, Emin=-9999)


@dataclass(frozen=True)
class Difference:
    """One difference, as a request that shows it."""

    name: str
    local: str
    """What the local DynamoDB does."""
    dynalite: str
    table: str
    operation: str
    request: Request
    happens: Callable[[str, Request, dict[str, Any]], bool] = lambda _operation, _request, _item: False
    """Whether a random request shows it, given the item that it is about."""


def put(**item: Any) -> Request:
    return {"Item": {"k": {"N": "1"}} | item}


def asks_for_empty_key(operation: str, request: Request, _item: dict[str, Any]) -> bool:
    return operation == "Query" and request["ExpressionAttributeValues"][":k"] in ({"B": ""}, {"S": ""})


def has_two_empty_members(_operation: str, request: Any, _item: dict[str, Any]) -> bool:
    if isinstance(request, dict):
        members = request.get("BS")
        if isinstance(members, list) and members.count("") > 1:
            return True
        return any(has_two_empty_members("", part, {}) for part in request.values())
    return isinstance(request, list) and any(has_two_empty_members("", part, {}) for part in request)


def sums_up_to_no_number(operation: str, request: Request, item: dict[str, Any]) -> bool:
    """Tell whether the sum that an update asks for is none that 38 digits can hold."""
    if operation != "UpdateItem" or "N" not in request["ExpressionAttributeValues"][":x"]:
        return False
    value, operand = item.get("v", {"N": "0"}).get("N"), request["ExpressionAttributeValues"][":x"]["N"]
    if value is None:
        return False
    try:
        one, other = Decimal(value), Decimal(operand)
    except decimal.InvalidOperation:
        return False
    sums = {
        "ADD v :x": lambda: EXACT.add(one, other),
        "SET v = v + :x": lambda: EXACT.add(one, other),
        "SET v = :x - v": lambda: EXACT.subtract(other, one),
    }
    expression = request["UpdateExpression"]
    if expression not in sums or not (one.is_finite() and other.is_finite()):
        return False
    total = EXACT.normalize(sums[expression]())
    return bool(total) and (len(total.as_tuple().digits) > 38 or not -130 <= total.adjusted() <= 125)


DIFFERENCES = [
    Difference("a number with a plus, `+3`", TAKEN, REFUSED, "number", "PutItem", put(k={"N": "+3"})),
    Difference(
        "zero with an exponent out of range, `0e1000`", REFUSED, TAKEN, "number", "PutItem", put(v={"N": "0e1000"})
    ),
    Difference(
        "a sum of more than 38 digits, or out of range",
        REFUSED,
        TAKEN,
        "number",
        "UpdateItem",
        {
            "Key": {"k": {"N": "1"}},
            "UpdateExpression": "SET v = :x + :y",
            "ExpressionAttributeValues": {":x": {"N": "1E+50"}, ":y": {"N": "1"}},
        },
        sums_up_to_no_number,
    ),
    Difference(
        "a partition key of 1,025 characters and 2,050 bytes",
        REFUSED,
        TAKEN,
        "sorted",
        "PutItem",
        put(k={"S": "é" * 1025}, s={"N": "1"}),
    ),
    Difference("a lone surrogate", REFUSED, TAKEN, "number", "PutItem", put(v={"S": "\ud800"})),
    Difference(
        "an empty key in a query",
        REFUSED,
        TAKEN,
        "binary",
        "Query",
        {"KeyConditionExpression": "k = :k", "ExpressionAttributeValues": {":k": {"B": ""}}},
        asks_for_empty_key,
    ),
    Difference(
        "two empty members in a set of binary",
        REFUSED,
        TAKEN,
        "number",
        "PutItem",
        put(v={"BS": ["", ""]}),
        has_two_empty_members,
    ),
    Difference(
        "a value 33 levels deep",
        REFUSED,
        TAKEN,
        "number",
        "PutItem",
        put(v=reduce(lambda inner, _: {"L": [inner]}, range(32), {"N": "1"})),
    ),
]
