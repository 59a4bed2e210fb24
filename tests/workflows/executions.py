"""What the engines that run a state machine have in common: the cases, the definition, and what an execution did.

MockConfigFile.json says what each task answers in each case, in AWS Step Functions Local's format; cases.json says what
must come of it:

    {"<machine>": {"input": {...}, "cases": {"<case>": {"status": "SUCCEEDED", "states": [...], "attempts": {...},
                                                        "output": {...}  or  "error": "...", "cause": ...}}}}

`states` are the states entered, in order; `attempts` counts how often each task was tried. A `cause` that is an object
stands for text that holds it as JSON, which engines space differently.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STATE_MACHINES = HERE.parent.parent / "statemachines"
MOCKS_FILE = HERE / "MockConfigFile.json"
CASES_FILE = HERE / "cases.json"

ARN_OF_ANYTHING = {
    "Function": "arn:aws:lambda:us-east-1:123456789012:function:anything",
    "Topic": "arn:aws:sns:us-east-1:123456789012:anything",
}
"""What a substitution stands for, by the kind its name ends with; mocked tasks call none of them."""

_SUBSTITUTION = re.compile(r"\$\{\w+?(Function|Topic)Arn\}")


@dataclass(frozen=True)
class Case:
    """One execution of a state machine, with mocked tasks."""

    machine: str
    name: str

    def __str__(self) -> str:
        return f"{self.machine}#{self.name}"

    @property
    def expected(self) -> dict[str, Any]:
        expected: dict[str, Any] = read_cases()[self.machine]["cases"][self.name]
        return expected

    @property
    def input(self) -> str:
        return json.dumps(read_cases()[self.machine]["input"])


@cache
def read_cases() -> dict[str, Any]:
    return dict(json.loads(CASES_FILE.read_text()))


@cache
def read_mocks() -> dict[str, Any]:
    return dict(json.loads(MOCKS_FILE.read_text()))


def list_cases() -> list[Case]:
    return [Case(machine, name) for machine, table in read_cases().items() for name in table["cases"]]


def read_definition(machine: str) -> dict[str, Any]:
    """A state machine's definition with every substitution made."""
    text = (STATE_MACHINES / f"{machine}.asl.json").read_text()
    return dict(json.loads(_SUBSTITUTION.sub(lambda found: ARN_OF_ANYTHING[found[1]], text)))


def summarize(description: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    """What an execution did, as cases.json words it, from DescribeExecution's and GetExecutionHistory's answers."""
    outcome: dict[str, Any] = {
        "status": description["status"],
        "states": [entered for event in events if (entered := _entered(event))],
        "attempts": _count_attempts(events),
    }
    if description["status"] == "SUCCEEDED":
        return {**outcome, "output": json.loads(description["output"])}
    return {**outcome, "error": description.get("error"), "cause": _read_cause(description.get("cause"))}


def _entered(event: dict[str, Any]) -> str | None:
    details = event.get("stateEnteredEventDetails")
    return details["name"] if details else None


def _count_attempts(events: list[dict[str, Any]]) -> dict[str, int]:
    """How often each task was scheduled: every attempt is, after its state was entered once."""
    attempts: Counter[str] = Counter()
    current = ""
    for event in events:
        current = _entered(event) or current
        attempts[current] += event["type"] == "TaskScheduled"
    return {state: count for state, count in attempts.items() if count}


def _read_cause(cause: str | None) -> Any:
    """A cause as text, or the object that it holds as JSON."""
    try:
        return json.loads(cause or "")
    except ValueError:
        return cause
