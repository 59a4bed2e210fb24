"""Child processes: tied to their parent, waited for, stopped."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from local.processes import (
    ProcessError,
    ProcessIdentity,
    find_free_port,
    identify_process,
    kill_process,
    read_start_time,
    start_child,
    stop_child,
    wait_until_ready,
)
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.integration

SLEEP = ["sleep", "600"]


@pytest.fixture
def start(tmp_path):
    """Start a command as a child; stopped in the end."""
    children = []

    def start_one(*command, **options):
        children.append(start_child("the child", command, log=tmp_path / "log/child.log", **options))
        return children[-1]

    yield start_one
    for child in children:
        stop_child(child, grace=0)


def test_a_child_has_its_own_environment_directory_and_log(start, tmp_path):
    child = start("sh", "-c", "pwd; env; echo no >&2", environment={"A": "b"}, directory=tmp_path)
    assert child.process.wait() == 0
    lines = child.log.read_text().splitlines()
    assert lines[0] == str(tmp_path)
    assert "A=b" in lines
    assert "no" in lines
    assert not any(line.startswith("HOME=") for line in lines)


def test_a_child_s_group_is_its_own(start):
    child = start(*SLEEP)
    assert os.getpgid(child.process.pid) == child.process.pid != os.getpgid(0)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_its_parent(tmp_path, ending):
    script = f"""
        import time
        from pathlib import Path
        from local.processes import start_child
        child = start_child("the child", {SLEEP}, log=Path({str(tmp_path / "log")!r}))
        print(child.process.pid, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as parent:
        child = identify_process(int(parent.stdout.readline()))
        parent.send_signal(ending)
    deadline = time.monotonic() + 10
    while child.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_children_are_started_by_the_main_thread_only(start):
    errors = []

    def try_to_start():
        with pytest.raises(RuntimeError, match="main thread") as error:
            start(*SLEEP)
        errors.append(error)

    thread = threading.Thread(target=try_to_start)
    thread.start()
    thread.join()
    assert errors


def test_a_child_that_ends_instead_of_getting_ready_is_quoted(start):
    child = start("sh", "-c", "echo the reason >&2; exit 3")
    with pytest.raises(ProcessError, match=r"the child ended with status 3(.|\n)*the reason"):
        wait_until_ready(child, lambda: False, timeout=PATIENCE_SECONDS)


def test_a_child_that_does_not_get_ready_is_given_up(start):
    child = start(*SLEEP)
    with pytest.raises(ProcessError, match=r"the child was not ready after 0\.05 s"):
        wait_until_ready(child, lambda: False, timeout=0.05)


def test_a_program_that_does_not_exist_is_an_end(start):
    child = start("no-such-program")
    with pytest.raises(ProcessError, match=r"(.|\n)*No such file or directory"):
        wait_until_ready(child, lambda: False, timeout=PATIENCE_SECONDS)


def test_a_child_that_ignores_sigterm_is_killed(start):
    child = start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    wait_until_ready(child, lambda: "ready" in child.log.read_text(), timeout=PATIENCE_SECONDS)
    stop_child(child, grace=0.1)
    assert child.process.returncode == -signal.SIGKILL
    stop_child(child, grace=0.1)  # and stopping it again is no error


def test_a_process_is_known_by_its_start_time(start):
    identity = start(*SLEEP).identity
    assert identity.is_alive()
    assert not ProcessIdentity(identity.pid, identity.started + 1).is_alive()
    assert not ProcessIdentity(identity.pid, identity.started + 1).send_signal(signal.SIGKILL)
    assert identity.is_alive()
    kill_process(identity)
    assert not identity.is_alive()
    assert read_start_time(identity.pid) is None


def test_a_process_that_never_was_is_none():
    with pytest.raises(ProcessError, match="does not run"):
        identify_process(2**22 + 1)


def test_a_command_with_odd_names_in_it_is_identified(start, tmp_path):
    odd = tmp_path / "a) S (b"
    odd.symlink_to("/bin/sleep")
    child = start(str(odd), "600")
    wait_until_ready(
        child, lambda: "a) S (b" in Path(f"/proc/{child.process.pid}/stat").read_text(), timeout=PATIENCE_SECONDS
    )
    assert child.identity.is_alive()


def test_free_ports_are_ports(start):
    assert 1024 < find_free_port() < 65536
