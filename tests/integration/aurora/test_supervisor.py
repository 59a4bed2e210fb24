"""The supervisor as a process: started, looked at, hurt, stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pymysql
import pytest

from local.aurora.faults import FaultError, kill_database, restart_database
from local.state import read_last_state, read_state
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "local"


@pytest.fixture
def start(directory):
    """Start a supervisor, and wait until it is ready unless told; killed in the end."""
    started = []

    def start_one(*, ready=True):
        command = [sys.executable, "-m", "local.supervisor", "--directory", str(directory)]
        supervisor = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
        started.append(supervisor)
        if ready:
            wait_until(lambda: supervisor.poll() is not None or is_supervised_by(directory, supervisor.pid))
            assert supervisor.poll() is None, supervisor.stderr.read()
        return supervisor

    yield start_one
    for supervisor in started:
        supervisor.kill()
        supervisor.communicate()
    wait_until(lambda: not any(is_alive(child) for child in children_of(directory)))


def is_supervised_by(directory, pid):
    state = read_state(directory)
    return state is not None and state.supervisor.pid == pid


def children_of(directory):
    state = read_last_state(directory)
    return [state.emulator, state.server] if state else []


def is_alive(identity):
    return identity is not None and identity.is_alive()


def can_query(state):
    address = state.aurora
    try:
        connection = pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
            ssl_ca=address.ca_file,
        )
    except pymysql.err.OperationalError:
        return False
    with connection, connection.cursor() as cursor:
        return cursor.execute("SELECT 1") == 1


def test_a_life(start, directory):
    supervisor = start()
    state = read_state(directory)
    assert can_query(state)
    assert (directory / "mysql/my.cnf").exists()
    assert state.endpoint_url.startswith("http://127.0.0.1:")

    second = start(ready=False)
    assert second.wait() == 1
    assert f"process {supervisor.pid} already runs the local AWS" in second.stderr.read()

    kill_database(directory)
    assert not is_alive(state.server)
    assert read_state(directory).server is None
    assert not can_query(state)
    restart_database(directory)
    restart_database(directory)
    assert can_query(state)

    os.kill(read_state(directory).server.pid, signal.SIGKILL)  # not asked for: it comes back by itself
    wait_until(lambda: can_query(state))

    supervisor.terminate()
    assert supervisor.wait() == 0
    assert read_last_state(directory) is None
    assert not is_alive(state.emulator)
    with pytest.raises(FaultError, match="dynaurora local up"):
        kill_database(directory)


def test_nothing_survives_a_killed_supervisor_and_the_next_one_starts_over_it(start, directory):
    killed = start()
    before = read_state(directory)
    killed.kill()
    killed.wait()
    assert read_state(directory) is None
    start()
    assert not any(is_alive(child) for child in (before.emulator, before.server))
    after = read_state(directory)
    assert can_query(after)
    assert after.aurora.password == before.aurora.password


def test_without_the_emulator_the_supervisor_ends(start, directory):
    supervisor = start()
    state = read_state(directory)
    os.kill(state.emulator.pid, signal.SIGKILL)
    assert supervisor.wait() == 1
    assert "the emulator ended with status -9" in supervisor.stderr.read()
    assert not is_alive(state.server)
    assert read_last_state(directory) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_while_starting(start, directory, number):
    supervisor = start(ready=False)
    wait_until(lambda: (directory / "log/database.log").exists())
    supervisor.send_signal(number)
    assert supervisor.wait() == 0
    assert supervisor.stderr.read() == ""
    assert read_last_state(directory) is None


def test_a_supervisor_on_a_lifeline_stops_with_who_started_it(directory):
    script = f"""
        import subprocess, sys, time
        command = [sys.executable, "-m", "local.supervisor", "--lifeline", "--directory", {str(directory)!r}]
        print(subprocess.Popen(command).pid, flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
        wait_until(lambda: read_state(directory))
        state = read_state(directory)
        starter.kill()
    wait_until(lambda: not any(is_alive(one) for one in (state.supervisor, state.emulator, state.server)))
    assert read_last_state(directory) is None


def test_what_listens_listens_on_this_machine_only(start, directory):
    start()
    state = read_state(directory)
    ports = {state.aurora.port, int(state.endpoint_url.rpartition(":")[2])}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {int(line[1][9:], 16): line[1][:8] for line in lines if line[3] == "0A"}
    assert {listening[port] for port in ports} == {socket.inet_aton("127.0.0.1")[::-1].hex().upper()}
    assert json.loads((directory / "state.json").read_text())["region"] == "us-east-1"
