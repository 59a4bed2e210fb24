"""Private servers, apart from the one other tests share."""

import gc
import os
import signal
import stat
import warnings

import pymysql
import pytest

from local.aurora import new_data
from local.aurora.engine import ServerSetupError, ServerUnavailableError
from local.aurora.engines import ENGINES, EngineError, find_engine
from local.aurora.server import DatabaseServer, connect_by_socket
from local.processes import ProcessError

pytestmark = pytest.mark.integration


@pytest.fixture
def create_server(tmp_path):
    """Describe a server; stopped in the end."""
    made = []

    def create(directory=tmp_path / "mysql", **options):
        made.append(DatabaseServer(directory, log=tmp_path / "database.log", **options))
        return made[-1]

    yield create
    for server in made:
        server.stop()


def test_data_and_passwords_outlive_the_server(create_server, run):
    server = create_server(database="My_Data")
    server.start()
    users = server.users
    with server.connect() as connection:
        run(connection, "CREATE TABLE kept (a INT)")
    server.stop()
    assert not server.is_running()
    assert server.identity is None
    again = create_server(database="My_Data")
    again.start()
    assert again.users == users
    with again.connect(users.loader) as connection:
        assert run(connection, "SELECT DATABASE(), (SELECT COUNT(*) FROM kept)") == [("My_Data", 0)]


def test_the_loader_s_rights_are_for_its_database_alone(create_server, run):
    server = create_server(database="My_Data")
    server.start()
    with server.connect() as connection:
        run(connection, "CREATE DATABASE MyXData")  # what an underscore would match in a grant
    with server.connect(server.users.loader) as connection, pytest.raises(pymysql.err.OperationalError, match="denied"):
        run(connection, "USE MyXData")


def test_what_a_killed_server_left_is_in_nobody_s_way(create_server, run):
    server = create_server()
    server.start()
    (server.files / "half.load").touch()
    server.kill()
    server.start()
    assert list(server.files.iterdir()) == []
    with server.connect() as connection:
        assert run(connection, "SELECT 1") == [(1,)]


def test_a_killed_server_that_nobody_has_collected_is_in_nobody_s_way(create_server, run):
    """MySQL's lock names a process by its id, and one that ended has it until its parent asks for its exit status."""
    server = create_server()
    server.start()
    os.kill(server.identity.pid, signal.SIGKILL)  # a zombie, for the first server's parent is this process
    lock = server.socket.with_name(f"{server.socket.name}.lock")
    lock.write_text(f"{os.getpid()}\n")
    again = create_server()
    again.start()
    with again.connect() as connection:
        assert run(connection, "SELECT 1") == [(1,)]


def test_an_interrupted_installation_is_done_again(create_server):
    server = create_server()
    (server.directory / "data.unfinished" / "mysql").mkdir(parents=True)
    server.start()
    assert not (server.directory / "data.unfinished").exists()


def test_data_are_made_once_and_half_of_them_anew(create_server, tmp_path, monkeypatch):
    monkeypatch.setattr(new_data, "ENVIRONMENTS", tmp_path)
    home = tmp_path / f"{find_engine().name}-data"
    (home / "data" / "mysql").mkdir(parents=True)
    first, second = (create_server(tmp_path / name) for name in ("first", "second"))
    first.start()
    made_at = (home / "data").stat().st_ctime_ns
    second.start()
    assert (home / "data").stat().st_ctime_ns == made_at
    (home / ".stamp").write_text("by another program")
    create_server(tmp_path / "third").start()
    assert (home / "data").stat().st_ctime_ns > made_at


@pytest.mark.parametrize(("unsynced", "is_synced"), [("1", False), ("0", True)])
def test_the_disk_is_waited_for_unless_somebody_says_that_it_need_not(
    create_server, monkeypatch, run, unsynced, is_synced
):
    monkeypatch.setenv("DYNAURORA_UNSYNCED", unsynced)
    server = create_server()
    server.start()
    with server.connect() as connection:
        ((method,),) = run(connection, "SELECT @@innodb_flush_method")
    assert (method != "nosync") == is_synced


def test_data_that_cannot_be_made_say_why(create_server, tmp_path, monkeypatch):
    monkeypatch.setattr(new_data, "ENVIRONMENTS", tmp_path)
    server = create_server()
    monkeypatch.setattr(type(server.engine), "initialize", lambda *_: ["sh", "-c", "echo no room; exit 3"])
    with pytest.raises(ServerSetupError, match=r"sh ended with status 3(.|\n)*no room"):
        server.start()


def test_a_long_path_gets_a_short_socket(create_server, tmp_path, run):
    server = create_server(tmp_path / ("long" * 30) / "mysql")
    assert len(os.fsencode(server.socket)) <= 107
    server.start()
    assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
    with server.connect() as connection:
        assert run(connection, "SELECT 1") == [(1,)]
    server.restart()
    with server.connect() as connection:
        assert run(connection, "SELECT 1") == [(1,)]
    server.stop()
    assert not server.socket.parent.exists()
    assert server.directory.exists()


def test_passwords_are_readable_by_their_owner_only(create_server):
    server = create_server()
    server.start()
    assert not (server.directory / "declarations.sql").exists()
    assert stat.S_IMODE((server.directory / "users.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700


def test_a_connection_that_is_refused_leaves_no_socket_open(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(pymysql.MySQLError, match=r"no server at .*nobody\.sock"):
            connect_by_socket(tmp_path / "nobody.sock", "root")
        gc.collect()
    assert [str(one.message) for one in caught] == []


def test_starting_twice_is_starting_once(create_server):
    server = create_server()
    server.start()
    first = server.identity
    server.start()
    assert server.identity == first
    server.restart()
    assert server.identity != first


def test_a_server_that_cannot_start_says_why(create_server):
    server = create_server()
    server.directory.mkdir()
    (server.directory / "data").mkdir()  # without the server's own tables
    with pytest.raises(
        (ServerSetupError, ProcessError), match=r"Table 'mysql\.db' doesn't exist|ibdata1: 'open' returned"
    ):
        server.start()


def test_a_machine_that_cannot_have_a_server_is_told_what_to_do(create_server, monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr("local.unpacking.ENVIRONMENTS", tmp_path)
    server = create_server()
    told = f"cannot be had here: apt-get is missing.*Put a {server.engine.program} of .* on the PATH"
    with pytest.raises(ServerUnavailableError, match=told):
        server.start()


@pytest.mark.parametrize(("made_by", "asked"), [("mariadb", "mysql"), ("mysql", "mariadb")])
def test_data_of_another_engine_are_refused_by_name(create_server, made_by, asked):
    server, other = create_server(engine=ENGINES[asked]), ENGINES[made_by]
    (server.directory / "data").mkdir(parents=True)
    (server.directory / "data" / other.data_mark).touch()
    with pytest.raises(EngineError, match=f"holds data of {other.title}.*--engine {made_by}.*rm -r"):
        server.start()
    assert list((server.directory / "data").iterdir()) == [server.directory / "data" / other.data_mark]


def test_an_engine_s_own_data_have_its_mark_and_no_other(create_server):
    server = create_server()
    server.start()
    marks = [engine.name for engine in ENGINES.values() if (server.directory / "data" / engine.data_mark).exists()]
    assert marks == [server.engine.name]


def test_an_engine_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("DYNAURORA_ENGINE", "oracle")
    with pytest.raises(EngineError, match="no engine 'oracle'; choose from: mariadb, mysql"):
        find_engine()
