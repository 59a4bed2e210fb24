"""DYNAURORA_WAIT_SCALE shortens Wait states, and nothing else."""

import time

import pytest

from tests.integration.emulator.machines import Machine, make_task

pytestmark = pytest.mark.integration

WAITS = {
    "Task": {"Type": "Wait", "Seconds": 50, "Next": "Path"},
    "Path": {"Type": "Wait", "SecondsPath": "$.seconds", "End": True},
}


def measure(machine, value=None):
    started = time.monotonic()
    machine.run(value)
    return time.monotonic() - started


def test_wait_states_are_scaled(start_emulator):
    emulator = start_emulator(DYNAURORA_WAIT_SCALE="0.01")
    assert 1 <= measure(Machine(emulator, WAITS), {"seconds": 50}) < 50
    function = emulator.create_function("def handler(event, context): raise ValueError")
    retry = {"ErrorEquals": ["ValueError"], "IntervalSeconds": 1, "MaxAttempts": 1}
    assert measure(Machine(emulator, {"Task": make_task(emulator, function, Retry=[retry])})) >= 1


def test_wait_states_are_as_long_as_they_say_unless_asked(emulator):
    assert measure(Machine(emulator, {"Task": {"Type": "Wait", "Seconds": 1, "End": True}})) >= 1


def test_a_scale_that_is_none_is_refused(start_emulator):
    with pytest.raises(AssertionError, match="DYNAURORA_WAIT_SCALE must be a number from 0 up"):
        start_emulator(DYNAURORA_WAIT_SCALE="-1")
