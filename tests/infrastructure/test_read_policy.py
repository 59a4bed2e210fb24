"""The policy for people who only look: what the commands say that they need, and nothing that changes anything."""

import json
import re

import click
import pytest

from backfill.cli import main
from tests.infrastructure.deployment import PROJECT

POLICY = json.loads((PROJECT / "infra" / "read-policy.json").read_text())
READING = re.compile(r"[a-z0-9]+:(Describe|Get|List)[A-Za-z]+|kms:Decrypt|lambda:InvokeFunction")
LOOKING = [("cost",), ("doctor",), ("status",), ("ui",), ("failures",), ("backfill",), ("reprocess",), ("report",)]
CHANGING = {"states:StartExecution", "states:StopExecution"}
"""What `dynaurora backfill` and `reprocess` say of the commands that start and stop."""
OF_ACCOUNT = "With --account:"
NAMED = re.compile(r"(?:([a-z0-9]+):|(?<=[ ,]))([A-Z][a-z]+[A-Z][A-Za-z]+)")


def list_of(value):
    return [value] if isinstance(value, str) else value


ALLOWED = {action for statement in POLICY["Statement"] for action in list_of(statement["Action"])}


def test_nothing_that_changes_anything_is_allowed():
    assert [action for action in ALLOWED if not READING.fullmatch(action)] == []
    assert all(statement["Effect"] == "Allow" for statement in POLICY["Statement"])


def test_only_functions_that_look_are_called():
    (calling,) = (one for one in POLICY["Statement"] if "lambda:InvokeFunction" in list_of(one["Action"]))
    assert {resource.rpartition(":")[2] for resource in calling["Resource"]} == {
        "dynaurora-describe-runs",
        "dynaurora-check-target",
    }


def test_objects_are_named_by_prefix():
    (reading,) = (one for one in POLICY["Statement"] if "s3:GetObject" in list_of(one["Action"]))
    assert all(re.fullmatch(r"arn:\*:s3:::dynaurora-\*/[a-z_/]+/\*", resource) for resource in reading["Resource"])
    assert not [resource for resource in reading["Resource"] if "/processed/" in resource or "/exports/" in resource]


def read_needed(words):
    """What a command's help says that it needs, of `service:Action, Action`."""
    command, context = main, click.Context(main)
    for word in words:
        command = command.get_command(context, word)
    text = " ".join(f"{command.help} {command.epilog or ''}".split())
    text = re.split(r"(?:It|They) needs? ", text)[-1].partition(OF_ACCOUNT)[0].replace("of states: ", "states:")
    text = re.sub(r"of the landing bucket (?=s3:)", "", text)
    service, needed = None, set()
    for prefix, action in NAMED.findall(text):
        service = prefix or service
        needed.add(f"{service}:{action}")
    return needed


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_what_commands_say_that_they_need_is_allowed(words):
    needed = {action for action in read_needed(words) if ":" in action and not action.startswith("None")}
    assert needed
    assert needed - CHANGING <= ALLOWED, needed - ALLOWED
