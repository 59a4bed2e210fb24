"""The local DynamoDB and dynalite answer random requests alike, but where one of them is known to be wrong."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.emulator.dynalite.asking import TABLES, Failure
from tests.integration.emulator.dynalite.differences import DIFFERENCES, REFUSED, TAKEN
from tests.integration.emulator.dynalite.operations import requests

pytestmark = pytest.mark.integration


def normal(value: Any) -> Any:
    """Return an answer with what has no order sorted."""
    if isinstance(value, dict):
        return {
            name: sorted(member) if name in {"SS", "NS", "BS"} and isinstance(member, list) else normal(member)
            for name, member in value.items()
        }
    return [normal(member) for member in value] if isinstance(value, list) else value


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(requests(), min_size=1, max_size=8))
def test_both_answer_alike(both, chosen):
    both.clear()
    for table, operation, request in chosen:
        item = find_item(both, table, request)
        if any(difference.happens(operation, request, item) for difference in DIFFERENCES):
            continue
        local, other = both.ask(operation, {"TableName": both.tables[table], **request})
        assert normal(local) == normal(other), (operation, request)
    for table in both.tables.values():
        local, other = both.ask("Scan", {"TableName": table})
        assert sorted(map(repr, normal(local["Items"]))) == sorted(map(repr, normal(other["Items"])))


def find_item(both, table, request):
    """Return the item that a request is about, as it is before; an empty one where there is none."""
    key = request.get("Key") or {name: request.get("Item", {}).get(name) for name, _, _ in TABLES[table]}
    answer = both.local.ask("GetItem", {"TableName": both.tables[table], "Key": key})
    return {} if isinstance(answer, Failure) else answer.get("Item", {})


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_a_difference_is_there(both, difference):
    request = {"TableName": both.tables[difference.table], **difference.request}
    answers = both.ask(difference.operation, request)
    assert [REFUSED if isinstance(answer, Failure) else TAKEN for answer in answers] == [
        difference.local,
        difference.dynalite,
    ]


def test_the_table_of_differences_is_whole():
    lines = (Path(__file__).parent / "README.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    assert [tuple(row[:3]) for row in rows] == [(each.name, each.local, each.dynalite) for each in DIFFERENCES]
    assert all(right and why for *_, right, why in rows)
