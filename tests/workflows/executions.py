"""What the engines that run a state machine have in common: the cases, the definition, and what an execution did.

MockConfigFile.json says what each task answers in each case, in AWS Step Functions Local's format; cases.json says what
must come of it:

    {"<machine>": {"input": {...}, "inputs": {"<name>": {...}}, "objects": {"<key>": ...},
                   "cases": {"<case>": {"status": "SUCCEEDED", "states": [...], "attempts": {...},
                                        "maps": {"<map>": "succeeded"}, "children": [...],
                                        "output": {...}  or  "error": "...", "cause": ...}}}}

`states` are the states entered, in order; `attempts` counts how often a task was tried, if more than once. A `cause`
that is an object stands for text that holds it as JSON, which engines space differently. `objects` are in the bucket
"landing", for the item readers of maps; `children` are the executions that maps started, in order. A case with `given`
is started with the input of that name, others with `input`. One with `stopped_in` is stopped once it has entered that
state. In one with `late`, a map misses the object `key` when it first reads its items; after that it is there, like
another object.

The first response of a mocked task is for its first try in an execution, whether the state was entered once or more
often; a child of a map is an execution of its own.
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
    "StateMachine": "arn:aws:states:us-east-1:123456789012:stateMachine:anything",
    "Topic": "arn:aws:sns:us-east-1:123456789012:anything",
}
"""What a substitution stands for, by the kind its name ends with; mocked tasks call none of them."""

BUCKET = "landing"

_SUBSTITUTION = re.compile(r"\$\{\w+?(Function|StateMachine|Topic)Arn\}")


@dataclass(frozen=True)
class Case:
    """One execution of a state machine, with mocked tasks."""

    machine: str
    name: str

    def __str__(self) -> str:
        return f"{self.machine}#{self.name}"

    @property
    def expected(self) -> dict[str, Any]:
        """What must come of it."""
        return {name: value for name, value in self._entry.items() if name not in {"given", "stopped_in", "late"}}

    @property
    def stopped_in(self) -> str | None:
        """The state in which it is stopped, if it is."""
        return self._entry.get("stopped_in")

    @property
    def late_in(self) -> str | None:
        """The map that finds its items only when it reads them again, if one does."""
        return self._entry.get("late", {}).get("map")

    @property
    def late_objects(self) -> dict[str, str]:
        """What is in the bucket only then, by key."""
        late = self._entry.get("late")
        return {late["key"]: read_objects()[late["like"]]} if late else {}

    @property
    def input(self) -> str:
        table, given = read_cases()[self.machine], self._entry.get("given")
        return json.dumps(table["inputs"][given] if given else table["input"])

    @property
    def _entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = read_cases()[self.machine]["cases"][self.name]
        return entry


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


def read_objects() -> dict[str, str]:
    """What is in the bucket, by key."""
    machines = read_cases().values()
    return {key: json.dumps(value) for machine in machines for key, value in machine.get("objects", {}).items()}


def list_states(machine: str) -> dict[str, dict[str, Any]]:
    """The states of a state machine by name, those inside its maps too."""
    states = dict(read_definition(machine)["States"])
    for state in read_definition(machine)["States"].values():
        states |= state.get("ItemProcessor", {}).get("States", {})
    return states


def summarize(
    description: dict[str, Any], events: list[dict[str, Any]], children: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """What an execution did, as cases.json words it, from DescribeExecution's and GetExecutionHistory's answers."""
    outcome: dict[str, Any] = {
        "status": description["status"],
        "states": list_entered(events),
        "attempts": {state: count for state, count in count_attempts(events).items() if count > 1},
        **({"maps": maps} if (maps := _judge_maps(events)) else {}),
        **({"children": children} if children else {}),
    }
    if description["status"] == "SUCCEEDED":
        return {**outcome, "output": json.loads(description["output"])}
    return {**outcome, "error": description.get("error"), "cause": _read_cause(description.get("cause"))}


def list_entered(events: list[dict[str, Any]]) -> list[str]:
    """The states that were entered, in order."""
    return [entered for event in events if (entered := _entered(event))]


def _entered(event: dict[str, Any]) -> str | None:
    details = event.get("stateEnteredEventDetails")
    return details["name"] if details else None


def count_attempts(events: list[dict[str, Any]]) -> Counter[str]:
    """How often each task was scheduled: every attempt is, after its state was entered."""
    attempts: Counter[str] = Counter()
    current = ""
    for event in events:
        current = _entered(event) or current
        attempts[current] += event["type"] == "TaskScheduled"
    return attempts


def _judge_maps(events: list[dict[str, Any]]) -> dict[str, str]:
    """What became of each map that was entered."""
    maps: dict[str, str] = {}
    current = ""
    for event in events:
        current = _entered(event) or current
        if event["type"] == "MapStateEntered":
            maps[current] = "failed"
        elif event["type"] == "MapStateSucceeded":
            maps[current] = "succeeded"
    return maps


def _read_cause(cause: str | None) -> Any:
    """A cause as text, or the object that it holds as JSON."""
    try:
        return json.loads(cause or "")
    except ValueError:
        return cause
