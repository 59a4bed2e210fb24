"""Functions that are killed in the middle of their work."""

import pytest

pytestmark = pytest.mark.integration

SOURCE = """
import socket, ssl

def handler(event, context):
    one, other = socket.socketpair()
    for number in range(event):
        one.sendall(b"message")
    return event
"""


@pytest.fixture
def deaths(tmp_path):
    return tmp_path / "deaths"


@pytest.fixture
def invoke(start_emulator, deaths):
    """Invoke a function that sends so many messages; its answer, or the kind of error."""
    deaths.mkdir()
    emulator = start_emulator(DYNAURORA_DEATHS=str(deaths))
    emulator.create_function(SOURCE, FunctionName="sender")

    def call(messages):
        answer, failed = emulator.invoke("sender", messages)
        return answer["errorType"] if failed else answer

    return call


def test_a_function_dies_before_the_message_that_its_line_says(invoke, deaths):
    assert invoke(3) == 3
    (deaths / "sender").write_text("3\n1\nanswer\n4\n")
    assert [invoke(3) for _ in range(5)] == ["Runtime.ExitError", "Runtime.ExitError", "Runtime.ExitError", 3, 3]
    assert (deaths / "sender").read_text() == ""
    assert (deaths / "sender.died").read_text().split() == ["3", "1", "answer"]


def test_messages_are_counted_anew_in_each_invocation(invoke, deaths):
    assert invoke(2) == 2
    (deaths / "sender").write_text("2\n2\n")
    assert [invoke(1), invoke(1), invoke(1)] == [1, 1, 1]
    assert not (deaths / "sender.died").exists()
