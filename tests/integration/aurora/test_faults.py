"""Clients, the database and S3 that go away in the middle of something."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pymysql
import pytest

from local.aurora.gateway import Gateway
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def loads_under_way(server, run):
    """The states of the server's threads that execute a load."""

    def read():
        with server.connect() as connection:
            threads = run(
                connection, "SELECT state FROM information_schema.processlist WHERE info LIKE 'LOAD DATA IN%'"
            )
        return [state for (state,) in threads]

    return read


@pytest.fixture
def loader_threads(server, run):
    """How many connections the server has of the loader."""

    def count():
        with server.connect() as connection:
            users = run(connection, "SELECT user FROM information_schema.processlist")
        return users.count(("dynaurora_loader",))

    return count


@pytest.fixture
def start_client(aurora):
    """Start a process that loads an object into a table within a transaction, and says when it starts to."""
    started = []

    def start(table, url, *, port=aurora.port):
        script = f"""
            import pymysql
            connection = pymysql.connect(
                host={aurora.host!r}, port={port}, user={aurora.loader.username!r},
                password={aurora.loader.password!r}, database={aurora.database!r}, ssl_ca={str(aurora.ca_file)!r},
            )
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE AWS_LOAD_S3_ACCESS")
                cursor.execute("INSERT INTO {table} VALUES (0)")
                print("loading", flush=True)
                cursor.execute("LOAD DATA FROM S3 '{url}' INTO TABLE {table}_2")
                connection.commit()
        """
        client = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
        started.append(client)
        assert client.stdout.readline() == b"loading\n"
        return client

    yield start
    for client in started:
        client.kill()
        client.communicate()


@pytest.fixture
def tables(create_table, server, run):
    """A table, and a second one of the same name with `_2` behind it."""
    first, second = create_table("a INT"), create_table("a INT")
    with server.connect() as connection:
        run(connection, f"RENAME TABLE {second} TO {first}_2")
    yield first
    with server.connect() as connection:
        run(connection, f"RENAME TABLE {first}_2 TO {second}")


def test_a_client_killed_while_the_server_loads_leaves_nothing(
    s3, bucket, tables, server, stack, run, rows_of, start_client, loads_under_way, loader_threads
):
    s3.put_object(Bucket=bucket, Key="data.csv", Body=b"1\n" * 1000)
    with server.connect() as blocker:
        run(blocker, f"LOCK TABLES {tables}_2 WRITE")
        client = start_client(tables, f"s3://{bucket}/data.csv")
        wait_until(lambda: loads_under_way() == ["Waiting for table metadata lock"])
        client.send_signal(signal.SIGKILL)
        client.wait()
        wait_until(lambda: list(stack.server.files.iterdir()) == [])  # the gateway has noticed
    wait_until(lambda: loader_threads() == 0)
    assert rows_of(tables) == rows_of(f"{tables}_2") == []


@pytest.fixture
def black_hole():
    """An S3 that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_client_killed_while_objects_are_fetched_leaves_nothing(
    stack, server, tables, rows_of, start_client, loader_threads, black_hole
):
    gateway = Gateway(
        server_socket=server.socket,
        files=server.files,
        certificates=stack.certificates,
        s3_endpoint_url=black_hole,
    )
    with gateway:
        client = start_client(tables, "s3://bucket/data.csv", port=gateway.port)
        assert loader_threads() == 1
        client.send_signal(signal.SIGKILL)
        client.wait()
        wait_until(lambda: loader_threads() == 0)
    assert rows_of(tables) == []


def test_an_s3_that_is_gone_fails_the_load(stack, server, aurora, run):
    gateway = Gateway(
        server_socket=server.socket,
        files=server.files,
        certificates=stack.certificates,
        s3_endpoint_url="http://127.0.0.1:1",
    )
    with gateway, aurora.connect(aurora.administrator, port=gateway.port) as connection:
        with pytest.raises(pymysql.MySQLError, match="S3 API returned error: Network Connection"):
            run(connection, "LOAD DATA FROM S3 's3://bucket/data.csv' INTO TABLE t")
        assert run(connection, "SELECT 1") == [(1,)]


@pytest.fixture
def database_back(server):
    """Start the database again in the end, which other tests use as well."""
    yield
    server.start()


def test_a_killed_database_loses_what_was_not_committed_and_nothing_else(
    server, aurora, session, run, create_table, rows_of, database_back
):
    table = create_table("a INT PRIMARY KEY")
    run(session, f"INSERT INTO {table} VALUES (1)")
    session.begin()
    run(session, f"INSERT INTO {table} VALUES (2)")
    server.kill()
    assert not server.is_running()
    with pytest.raises(pymysql.err.OperationalError) as lost:
        run(session, "SELECT 1")
    with pytest.raises(pymysql.err.OperationalError) as down:
        aurora.connect()
    assert (lost.value.args[0], down.value.args[0]) == (2013, 2013)
    server.start()
    assert rows_of(table) == [(1,)]
    with aurora.connect() as connection:
        assert run(connection, f"SELECT * FROM {table}") == [(1,)]


def test_a_database_killed_during_a_load_is_a_lost_connection(
    s3, bucket, server, session, run, create_table, rows_of, loads_under_way, database_back
):
    table = create_table("a INT")
    s3.put_object(Bucket=bucket, Key="data.csv", Body=b"1\n")
    with server.connect() as blocker:
        run(blocker, f"LOCK TABLES {table} WRITE")

        def kill_when_loading():
            wait_until(loads_under_way)
            os.kill(server.identity.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_when_loading)
        killer.start()
        with pytest.raises(pymysql.err.OperationalError) as lost:
            run(session, f"LOAD DATA FROM S3 's3://{bucket}/data.csv' INTO TABLE {table}")
        killer.join()
        assert lost.value.args[0] == 2013
        blocker._force_close()
    server.kill()  # it is dying; this returns once it is dead
    server.start()
    assert rows_of(table) == []
    assert list(server.files.iterdir()) == []


def test_a_query_of_a_client_that_left_ends_with_its_connection(aurora, session, run, loader_threads, server):
    left = aurora.connect()
    assert loader_threads() == 2
    left._force_close()  # without saying goodbye
    wait_until(lambda: loader_threads() == 1)
