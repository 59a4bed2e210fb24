"""Clients of the gateway: with TLS and without, large and small, let in and kept out."""

import hashlib
import socket
import ssl
import subprocess

import pymysql
import pytest

from local.aurora.clients import write_client_settings
from local.aurora.engine import LOAD_ROLE
from local.aurora.engines import find_engine
from local.aurora.gateway import Gateway
from local.aurora.server import User
from local.certificates import ensure_certificates
from local.state import AuroraAddress

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_server_is_verified_as_strictly_as_python_can(aurora, run, host):
    context = ssl.create_default_context(cafile=str(aurora.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with aurora.connect(tls=False, host=host, ssl=context) as connection:
        assert connection._sock.version() == "TLSv1.3"
        assert run(connection, "SELECT DATABASE()") == [("Demo",)]


def test_a_server_of_another_authority_is_refused_by_the_client(aurora, tmp_path):
    other = ensure_certificates(tmp_path)
    with pytest.raises(pymysql.err.OperationalError, match="certificate verify failed"):
        aurora.connect(ssl_ca=str(other.ca_file))
    with aurora.connect():
        pass  # and the gateway goes on


def test_a_plain_client_is_refused_as_the_server_would_refuse_it(aurora, server):
    with pytest.raises(pymysql.err.OperationalError, match="insecure transport are prohibited") as refusal:
        aurora.connect(tls=False, ssl_disabled=True)
    assert refusal.value.args[0] == 3159
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.require_secure_transport")
        assert cursor.fetchall() == ((1,),)


def test_a_wrong_password_is_refused(aurora):
    with pytest.raises(pymysql.err.OperationalError) as refusal:
        aurora.connect(password="wrong")
    assert refusal.value.args[0] == 1045


def test_nobody_gets_in_as_root(aurora):
    with pytest.raises(pymysql.err.OperationalError, match=r"(?i)account is locked"):
        aurora.connect(User("root", ""))


def test_a_large_packet_arrives_whole(open_session, run):
    text = "0123456789abcdef" * ((18 << 20) // 16)
    connection = open_session(max_allowed_packet=64 << 20)
    run(connection, "CREATE TEMPORARY TABLE large (content LONGTEXT)")
    run(connection, f"INSERT INTO large VALUES ('{text}')")
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert run(connection, "SELECT LENGTH(content), SHA2(content, 256) FROM large") == [(len(text), digest)]
    assert run(connection, "SELECT content FROM large") == [(text,)]


def test_a_large_result_arrives_whole(session, run):
    digits = "(SELECT 0 AS digit UNION ALL " + " UNION ALL ".join(f"SELECT {n}" for n in range(1, 10)) + ")"
    places = ", ".join(f"{digits} AS t{n}" for n in range(5))
    number = " + ".join(f"t{n}.digit * {10**n}" for n in range(5))
    rows = run(session, f"SELECT {number} AS number, REPEAT('x', 200) FROM {places} ORDER BY number")
    assert rows == [(number, "x" * 200) for number in range(100_000)]


def test_the_loader_may_do_nothing_but_its_work(session, run):
    for statement in ("CREATE TABLE other (a INT)", "SELECT * FROM mysql.user", "DROP DATABASE Demo", "SHUTDOWN"):
        with pytest.raises(pymysql.MySQLError) as refusal:
            run(session, statement)
        assert refusal.value.args[0] in (1044, 1142, 1227), statement


def test_sessions_are_as_aurora_begins_them(session, run):
    names = ("tx_isolation", "transaction_isolation")
    isolation = {value for _, value in run(session, f"SHOW VARIABLES WHERE Variable_name IN {names}")}
    ((mode, charset, zone, flush, packet, wait),) = run(
        session,
        "SELECT @@sql_mode, @@character_set_server, @@time_zone,"
        " @@innodb_flush_log_at_trx_commit, @@max_allowed_packet, @@innodb_lock_wait_timeout",
    )
    assert isolation == {"REPEATABLE-READ"}
    assert (charset, zone, flush, packet, wait) == ("utf8mb4", "+00:00", 1, 64 << 20, 50)
    assert "STRICT_TRANS_TABLES" in mode


def test_several_statements_in_one_packet_are_answered(open_session):
    connection = open_session(client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT 2")
        first = cursor.fetchall()
        assert cursor.nextset()
        assert (first, cursor.fetchall()) == (((1,),), ((2,),))


def test_the_client_finds_the_server_by_its_settings(aurora, tmp_path):
    administrator = aurora.administrator
    address = AuroraAddress(
        aurora.host,
        aurora.port,
        administrator.username,
        administrator.password,
        aurora.database,
        str(aurora.ca_file),
    )
    write_client_settings(tmp_path / "my.cnf", address)
    query, client = "SELECT DATABASE(), CURRENT_ROLE()", find_engine().find_client()
    for arguments, environment in (
        ([f"--defaults-file={tmp_path / 'my.cnf'}"], {}),
        ([], {"MYSQL_HOME": str(tmp_path)}),
    ):
        command = [client, *arguments, "--batch", "--skip-column-names", "-e", query]
        done = subprocess.run(command, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True)
        assert done.stderr == ""
        database, role = done.stdout.strip().split("\t")
        assert (database, role.replace("`", "").removesuffix("@%")) == ("Demo", LOAD_ROLE)
    assert (tmp_path / "my.cnf").stat().st_mode & 0o777 == 0o600


def test_a_client_that_says_nothing_keeps_nobody_out(aurora, run):
    with socket.create_connection((aurora.host, aurora.port)) as silent:
        assert silent.recv(4)  # the greeting's header
        with aurora.connect() as connection:
            assert run(connection, "SELECT 1") == [(1,)]
        silent.sendall(b"\x01\x00\x00\x01")  # a packet of one byte that never comes
    with aurora.connect() as connection:
        assert run(connection, "SELECT 1") == [(1,)]


def test_a_gateway_without_server_closes_its_clients_connections(stack, tmp_path):
    gateway = Gateway(
        server_socket=tmp_path / "none.sock",
        files=tmp_path,
        certificates=stack.certificates,
        s3_endpoint_url=stack.endpoint_url,
    )
    with gateway:
        with pytest.raises(pymysql.err.OperationalError) as lost:
            pymysql.connect(host=gateway.host, port=gateway.port, user="admin", password="")
        assert lost.value.args[0] == 2013
    with pytest.raises(pymysql.err.OperationalError) as refused:
        pymysql.connect(host=gateway.host, port=gateway.port, user="admin", password="")
    assert refused.value.args[0] == 2003


def test_a_stopped_gateway_can_be_started_again_on_its_port(stack, aurora):
    gateway = Gateway(
        server_socket=stack.server.socket,
        files=stack.server.files,
        certificates=stack.certificates,
        s3_endpoint_url=stack.endpoint_url,
    )
    gateway.start()
    port = gateway.port
    connection = aurora.connect(port=port)
    gateway.stop()
    with pytest.raises(pymysql.err.OperationalError) as lost:
        connection.ping(reconnect=False)
    assert lost.value.args[0] in (2006, 2013)
    connection.close()
    with gateway, aurora.connect(port=port):
        pass
