"""Random requests about items: mostly good ones, and some that DynamoDB refuses."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.integration.emulator.dynalite.asking import TABLES

Request = tuple[str, str, dict[str, Any]]
"""A kind of table, an operation, and its request without the table's name."""

FEW_NUMBERS = ("0", "1", "-1.5", "20", "300", "0.001", "12345678901234567890123456789012345678")
BAD_NUMBERS = ("", "x", "1_0", " 1", "1 ", "0x1", "NaN", "Infinity", "1e", "--1", "1.2.3", "1E+126", "1E-131", "9" * 39)


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """One of few numbers in some spelling: so that keys and members meet."""
    number = draw(st.sampled_from(FEW_NUMBERS))
    sign, digits = ("-", number[1:]) if number[0] == "-" else ("", number)
    whole, _, fraction = digits.partition(".")
    zeros = draw(st.integers(0, 3))
    form = draw(st.sampled_from(["plain", "zeros before", "zeros behind", "exponent", "small exponent"]))
    if form == "zeros before":
        return f"{sign}{'0' * zeros}{digits}"
    if form == "zeros behind":
        return f"{sign}{whole}.{fraction}{'0' * zeros}" if fraction or zeros else number
    if form == "exponent":
        return f"{sign}{whole}{fraction}{draw(st.sampled_from('eE'))}-{len(fraction)}"
    if form == "small exponent":
        return f"{sign}{whole}{fraction}{'0' * zeros}E-{len(fraction) + zeros}"
    return number


any_number = st.builds(
    lambda sign, digits, exponent: f"{sign}{digits}E{exponent}",
    st.sampled_from(["", "-"]),
    st.integers(1, 10**38 - 1),
    st.integers(-130, 88),
)
numbers = st.one_of(spelled(), spelled(), any_number, st.sampled_from(BAD_NUMBERS))
texts = st.sampled_from(["a", "b", "ab", "é", "\U0001f600", "a\0b", "ﬀ", "x" * 300])
binaries = st.one_of(
    st.binary(max_size=4).map(lambda data: b64encode(data).decode()),
    st.sampled_from(["A", "AAA", "AAA=", "AAE=", "AAF=", "A===", "AA=A", "AA_-", "AAAA"]),
)


def set_of(descriptor: str, members: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(members, min_size=0, max_size=4).map(lambda chosen: {descriptor: chosen})


scalars = st.one_of(
    numbers.map(lambda text: {"N": text}),
    texts.map(lambda text: {"S": text}),
    binaries.map(lambda text: {"B": text}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.just({"NULL": True}),
    set_of("NS", numbers),
    set_of("SS", texts),
    set_of("BS", binaries),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda members: {"L": members}),
        st.dictionaries(st.sampled_from(["a", "b", "N", "S"]), inner, max_size=3).map(lambda members: {"M": members}),
    ),
    max_leaves=4,
)
by_type = {"N": numbers, "S": texts, "B": binaries}


def keys_of(table: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {name: by_type[of].map(lambda text, of=of: {of: text}) for name, _, of in TABLES[table]}
    )


def items_of(table: str) -> st.SearchStrategy[dict[str, Any]]:
    attributes = st.dictionaries(st.sampled_from(["v", "w"]), values, max_size=2)
    return st.builds(lambda key, others: {**others, **key}, keys_of(table), attributes)


@st.composite
def puts(draw: st.DrawFn, table: str) -> tuple[str, dict[str, Any]]:
    return "PutItem", {"Item": draw(items_of(table)), "ReturnValues": draw(st.sampled_from(["NONE", "ALL_OLD"]))}


@st.composite
def gets(draw: st.DrawFn, table: str) -> tuple[str, dict[str, Any]]:
    return "GetItem", {"Key": draw(keys_of(table)), "ConsistentRead": True}


@st.composite
def deletes(draw: st.DrawFn, table: str) -> tuple[str, dict[str, Any]]:
    return "DeleteItem", {"Key": draw(keys_of(table)), "ReturnValues": "ALL_OLD"}


@st.composite
def updates(draw: st.DrawFn, table: str) -> tuple[str, dict[str, Any]]:
    expression, operand = draw(
        st.sampled_from(
            [
                ("SET v = :x", values),
                ("SET v = v + :x", numbers.map(lambda text: {"N": text})),
                ("SET v = :x - v", numbers.map(lambda text: {"N": text})),
                (
                    "ADD v :x",
                    st.one_of(numbers.map(lambda text: {"N": text}), set_of("NS", numbers), set_of("BS", binaries)),
                ),
                ("DELETE v :x", st.one_of(set_of("NS", numbers), set_of("BS", binaries), set_of("SS", texts))),
            ]
        )
    )
    return "UpdateItem", {
        "Key": draw(keys_of(table)),
        "UpdateExpression": expression,
        "ExpressionAttributeValues": {":x": draw(operand)},
        "ReturnValues": draw(st.sampled_from(["NONE", "ALL_OLD", "ALL_NEW"])),
    }


@st.composite
def conditional_puts(draw: st.DrawFn, table: str) -> tuple[str, dict[str, Any]]:
    condition = draw(st.sampled_from(["v = :x", "v < :x", "contains(v, :x)", "v <> :x"]))
    return "PutItem", {
        "Item": draw(items_of(table)),
        "ConditionExpression": condition,
        "ExpressionAttributeValues": {":x": draw(scalars)},
    }


@st.composite
def queries(draw: st.DrawFn, table: str) -> tuple[str, dict[str, Any]]:
    return "Query", {
        "KeyConditionExpression": "k = :k",
        "ExpressionAttributeValues": {":k": draw(keys_of(table))["k"]},
        "ScanIndexForward": draw(st.booleans()),
    }


MAKERS: list[Callable[[str], st.SearchStrategy[tuple[str, dict[str, Any]]]]] = [
    puts,
    puts,
    gets,
    deletes,
    updates,
    updates,
    conditional_puts,
    queries,
]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A request about an item of one of the tables."""
    table = draw(st.sampled_from(sorted(TABLES)))
    operation, request = draw(draw(st.sampled_from(MAKERS))(table))
    return table, operation, request
