"""The state that the supervisor writes for others. Nothing here needs a server."""

import dataclasses
import os
import stat

import pytest

from local.processes import ProcessIdentity, identify_process
from local.state import AuroraAddress, State, read_last_state, read_state, remove_state, write_state


@pytest.fixture
def state():
    this = identify_process(os.getpid())
    return State(
        supervisor=this,
        emulator=this,
        engine="mariadb",
        server=this,
        endpoint_url="http://127.0.0.1:4566",
        region="us-east-1",
        aurora=AuroraAddress("127.0.0.1", 3306, "admin", "secret", "Demo", "/ca.pem"),
    )


@pytest.mark.parametrize("server", [ProcessIdentity(2, 3), None])
def test_a_state_is_read_as_it_was_written(tmp_path, state, server):
    state = dataclasses.replace(state, server=server)
    write_state(tmp_path / "new", state)
    assert read_state(tmp_path / "new") == state
    assert stat.S_IMODE((tmp_path / "new/state.json").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state.json"]


def test_a_state_whose_supervisor_is_gone_is_stale(tmp_path, state):
    later = dataclasses.replace(state, supervisor=dataclasses.replace(state.supervisor, started=1))
    write_state(tmp_path, later)
    assert read_state(tmp_path) is None
    assert read_last_state(tmp_path) == later


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", '{"supervisor": {"pid": 1}}'])
def test_what_is_no_state_is_none(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    assert read_state(tmp_path) is None


def test_a_removed_state_is_none(tmp_path, state):
    write_state(tmp_path, state)
    remove_state(tmp_path)
    remove_state(tmp_path)
    assert read_state(tmp_path) is None
