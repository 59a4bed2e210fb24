"""The function compare_rows is asked by who may be of another release."""

import io
import json
from dataclasses import dataclass
from typing import Any

import pytest

from dynaurora.verification.expectations import Expectation, WantedKind
from dynaurora.verification.function_lookup import FunctionLookup
from dynaurora.verification.verdicts import RowVerdict
from tests.support.factories import column, make_mapping

MAPPING = make_mapping(column("n", "INT"))
FINDINGS = [["identical"], ["differing", "n"]]


@dataclass
class Answering:
    """The function, which always answers the same."""

    answer: dict[str, Any]

    def invoke(self, **_):
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())}


@pytest.mark.parametrize(
    ("answer", "ages"),
    [
        pytest.param({"findings": FINDINGS, "ages": [None, 5]}, [None, 5], id="of this release"),
        pytest.param({"findings": FINDINGS}, [None, None], id="of one that told no ages"),
    ],
)
def test_what_is_found_of_rows_has_their_ages_where_the_function_tells_them(answer, ages):
    lookup = FunctionLookup(Answering(answer), "compare_rows", MAPPING, "r1")
    found = lookup.compare(MAPPING.table, [Expectation(WantedKind.NOTHING, (key,)) for key in "ab"])
    assert [(one.verdict, one.columns, one.age) for one in found] == [
        (RowVerdict.IDENTICAL, (), ages[0]),
        (RowVerdict.DIFFERING, ("n",), ages[1]),
    ]
