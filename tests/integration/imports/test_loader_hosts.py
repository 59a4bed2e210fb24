"""The loader comes from its network only: what preparing a target does of that, on the real server, by TCP.

The local Aurora's clients come by one Unix socket, so this server listens on the loopback interface besides.
"""

import dataclasses
import secrets
import threading
from collections.abc import Iterator

import pytest

from dynaurora.aurora.connection import Credentials, Endpoint, connect
from dynaurora.aurora.users import ANYWHERE, admit_loader, name_hosts
from dynaurora.errors import AccountLockedError, DatabaseError, DynauroraError, SecretRotatedError
from dynaurora.target.prepare_target import can_log_in, let_in_from
from dynaurora.target.rotate_loader_secret import make_password
from local.aurora.server import DatabaseServer
from local.processes import find_free_port

pytestmark = pytest.mark.integration

HERE = name_hosts("127.0.0.0/8")
ELSEWHERE = name_hosts("10.60.0.0/24")
ADMINISTRATOR = "reaching"
DATABASE = "Demo"


class ReachableServer(DatabaseServer):
    port = 0

    def _command(self, *given: object) -> list[str]:
        command = super()._command(*given)  # type: ignore[arg-type]
        reach = [f"--port={self.port}", "--bind-address=127.0.0.1"]
        return [*(option for option in command if not option.startswith("--skip-networking")), *reach]


@pytest.fixture(scope="module")
def reachable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Endpoint, Credentials]]:
    directory = tmp_path_factory.mktemp("reachable")
    server = ReachableServer(directory, log=directory / "server.log", database=DATABASE)
    server.port = find_free_port()
    administrator = Credentials(ADMINISTRATOR, make_password())
    server.start()
    try:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE USER %s@'127.0.0.1' IDENTIFIED BY %s", (ADMINISTRATOR, administrator.password))
            cursor.execute("GRANT ALL ON *.* TO %s@'127.0.0.1' WITH GRANT OPTION", (ADMINISTRATOR,))
            cursor.execute("GRANT AWS_LOAD_S3_ACCESS TO %s@'127.0.0.1' WITH ADMIN OPTION", (ADMINISTRATOR,))
        ca_pem = (directory / "certificates" / "ca.pem").read_text()
        yield Endpoint("127.0.0.1", server.port, ca_pem), administrator
    finally:
        server.stop()


@dataclasses.dataclass
class Place:
    endpoint: Endpoint
    administrator: Credentials
    loader: Credentials

    def let_in(self, hosts: str) -> str:
        with connect(self.endpoint, self.administrator) as aurora:
            return let_in_from(aurora, self.endpoint, lambda: [self.loader], hosts)[1]

    def execute(self, statement: str, *arguments: str) -> None:
        with connect(self.endpoint, self.administrator) as aurora:
            aurora.execute(statement, arguments)

    def hosts(self) -> set[str]:
        """Where the accounts are from that the loader has."""
        with connect(self.endpoint, self.administrator) as aurora:
            rows = aurora.query("SELECT User, Host FROM mysql.user WHERE User LIKE 'dynaurora\\_%'")
        assert {user for user, _ in rows} <= {self.loader.username, "dynaurora_loader"}  # no trial is left
        return {host for user, host in rows if user == self.loader.username}

    def grants(self, hosts: str) -> set[str]:
        with connect(self.endpoint, self.administrator) as aurora:
            rows = aurora.query("SHOW GRANTS FOR %s@%s", (self.loader.username, hosts))
        return {grant.partition(" TO ")[0] for (grant,) in rows}

    def load_role(self) -> None:
        with connect(self.endpoint, self.loader, load_from_s3=True) as aurora:
            aurora.query(f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{DATABASE}'")


@pytest.fixture
def place(reachable: tuple[Endpoint, Credentials]) -> Iterator[Place]:
    found = Place(*reachable, Credentials(f"dynaurora_{secrets.token_hex(6)}", make_password()))
    yield found
    for host in found.hosts():
        found.execute("DROP USER %s@%s", found.loader.username, host)


def test_a_networks_addresses_are_those_of_an_account() -> None:
    assert (name_hosts("10.60.0.0/24"), name_hosts("")) == ("10.60.0.0/255.255.255.0", "%")
    assert name_hosts("10.60.3.7/16") == "10.60.0.0/255.255.0.0"


def test_a_new_loader_comes_from_its_network_only(place: Place) -> None:
    assert place.let_in(HERE) == HERE
    assert place.hosts() == {HERE}
    assert place.let_in(HERE) == HERE  # again
    assert can_log_in(place.endpoint, place.loader)


def test_a_loader_of_another_network_is_refused(place: Place) -> None:
    with connect(place.endpoint, place.administrator) as aurora:
        admit_loader(aurora, place.loader, DATABASE, ELSEWHERE)
    assert place.hosts() == {ELSEWHERE}
    with pytest.raises(SecretRotatedError), connect(place.endpoint, place.loader):
        pass


def test_a_loader_of_before_keeps_its_password_and_its_rights(place: Place) -> None:
    place.execute("CREATE DATABASE IF NOT EXISTS Other_one")
    with connect(place.endpoint, place.administrator) as aurora:
        for database in (DATABASE, "Other_one"):
            admit_loader(aurora, place.loader, database)
    granted = place.grants(ANYWHERE)
    place.loader = dataclasses.replace(place.loader, password=make_password())
    place.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", place.loader.username, place.loader.password)
    place.execute(f"CREATE TABLE IF NOT EXISTS {DATABASE}.kept (a INT)")
    with connect(place.endpoint, place.loader, load_from_s3=True) as under_way:
        under_way.execute(f"CREATE TEMPORARY TABLE {DATABASE}.staged (a INT) ENGINE=InnoDB")
        assert place.let_in(HERE) == HERE
        with pytest.raises(DatabaseError, match=r"no such file|not found|Errcode: 2|secure-file-priv"):
            under_way.execute(f"LOAD DATA INFILE '/nowhere' INTO TABLE {DATABASE}.staged")
        under_way.execute(f"CREATE TEMPORARY TABLE {DATABASE}.going_on (a INT) ENGINE=InnoDB")
        with under_way.transaction():
            under_way.execute(f"INSERT INTO {DATABASE}.kept SELECT 1")
        under_way.query(f"CALL {DATABASE}._dynaurora_triggers('a', 'b')")
    assert place.grants(HERE) == granted
    assert len(granted) > 4
    place.load_role()


def test_who_comes_from_anywhere_is_locked_out(place: Place) -> None:
    with connect(place.endpoint, place.administrator) as aurora:
        admit_loader(aurora, place.loader, DATABASE)
    assert place.let_in(HERE) == HERE
    place.execute("DROP USER %s@%s", place.loader.username, HERE)  # of which a server takes the other one
    with pytest.raises(AccountLockedError), connect(place.endpoint, place.loader):
        pass
    assert place.let_in(ANYWHERE) == ANYWHERE
    place.load_role()


def test_there_is_a_loader_at_any_moment(place: Place) -> None:
    with connect(place.endpoint, place.administrator) as aurora:
        admit_loader(aurora, place.loader, DATABASE)
    ended, failures, count = threading.Event(), [], 0

    def log_in() -> None:
        nonlocal count
        while not ended.is_set():
            try:
                place.load_role()
                count += 1
            except DynauroraError as error:
                failures.append(repr(error) + repr(error.__cause__))

    threads = [threading.Thread(target=log_in) for _ in range(3)]
    for thread in threads:
        thread.start()
    for hosts in (HERE, HERE):
        place.let_in(hosts)
    while count < 30 and not failures:
        pass
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_loader_that_would_be_kept_out_comes_from_anywhere(place: Place) -> None:
    with connect(place.endpoint, place.administrator) as aurora:
        admit_loader(aurora, place.loader, DATABASE)
    for _ in range(2):
        assert place.let_in(ELSEWHERE) == ANYWHERE
        assert place.hosts() == {ANYWHERE}
        place.load_role()  # as before


def test_what_a_release_of_before_made_besides_is_locked(place: Place) -> None:
    assert place.let_in(HERE) == HERE
    with connect(place.endpoint, place.administrator) as aurora:
        admit_loader(aurora, place.loader, DATABASE)
    assert place.let_in(HERE) == HERE
    place.execute("DROP USER %s@%s", place.loader.username, HERE)
    assert not can_log_in(place.endpoint, place.loader)
