"""Settings of the server that would change what statements do, or refuse them: sessions of ours do not have them."""

import dataclasses
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from dynaurora.aurora.connection import SESSION, SESSION_OF_MARIADB, SESSION_OF_MYSQL, Credentials, connect, is_mariadb
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import MalformedBatchError
from dynaurora.exports.plan_sweep import Sweeper
from dynaurora.target.prepare_target import prepare_database
from dynaurora.target.probe import Landing
from local.aurora.server import DatabaseServer
from tests.integration.servers import server_version, set_globally
from tests.integration.targets import Target, drop_all, row
from tests.support.factories import make_totals

pytestmark = pytest.mark.integration

ROWS = 3000
"""Enough for a millisecond's work."""
EVERYWHERE: dict[str, Any] = {
    "sql_mode": "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE",
    "time_zone": "+05:30",
    "autocommit": 0,
    "completion_type": "CHAIN",
    "sql_select_limit": 1,
    "sql_safe_updates": 1,
    "max_join_size": 1,
    "unique_checks": 0,
    "foreign_key_checks": 0,
    "sql_auto_is_null": 1,
    "lc_messages": "de_DE",
    "innodb_lock_wait_timeout": 1,
    "lock_wait_timeout": 1,
    "net_read_timeout": 1,
    "net_write_timeout": 1,
    "wait_timeout": 1,
    # What no session of ours sets, since nothing of ours depends on it.
    "group_concat_max_len": 4,
    "max_sort_length": 64,
    "sql_quote_show_create": 0,
    "default_storage_engine": "MyISAM",
    "default_tmp_storage_engine": "MyISAM",
    "explicit_defaults_for_timestamp": 0,
    "character_set_client": "latin1",
    "character_set_connection": "latin1",
    "character_set_results": "latin1",
    "character_set_database": "latin1",
    "character_set_server": "latin1",
    "init_connect": "SET NAMES latin1, autocommit = 1, sql_mode = 'ANSI_QUOTES'",
}
ON_MYSQL: dict[str, Any] = {
    "max_execution_time": 1,
    "transaction_isolation": "SERIALIZABLE",
    "transaction_read_only": 1,
    "sql_require_primary_key": 1,
    "sql_generate_invisible_primary_key": 1,
}
ON_MARIADB: dict[str, Any] = {
    "max_statement_time": 0.001,
    "tx_isolation": "SERIALIZABLE",
    "tx_read_only": 1,
    "check_constraint_checks": 0,
    "idle_transaction_timeout": 1,
    "idle_write_transaction_timeout": 1,
    "idle_readonly_transaction_timeout": 1,
}
VARIANTS = {"completion_type=RELEASE": {"completion_type": "RELEASE"}}
CASES = {name: {name: value} for name, value in (EVERYWHERE | ON_MYSQL | ON_MARIADB).items()} | VARIANTS


def settings_of(target: Target, name: str) -> dict[str, Any]:
    """Return a case's settings, or skip it where the server has another name for it, or none."""
    foreign = ON_MYSQL if is_mariadb(server_version(target)) else ON_MARIADB
    if name in foreign:
        pytest.skip(f"{name} is not this server's")
    return CASES[name]


@pytest.fixture
def loader(target: Target) -> Iterator[Credentials]:
    """A loader that is not there yet."""
    found = Credentials(f"dynaurora_{secrets.token_hex(6)}", r'of "the" \loader')
    yield found
    with connect(target.endpoint, target.administrator) as aurora:
        aurora.execute("DROP USER IF EXISTS %s@'%%'", (found.username,))


def name_page(number: int) -> str:
    return f"page {number} \\ ' \" ü"


def prepare_import_and_sweep(target: Target, loader: Credentials) -> None:
    """Do all that the project does in a database once; see that it is done, and whole."""
    with connect(target.endpoint, target.administrator) as aurora:
        drop_all(aurora, target.mapping)
    landing = Landing(S3Objects(), target.bucket)
    prepare_database(target.endpoint, target.administrator, lambda: [loader], target.mapping, landing, wait_seconds=0)
    target = dataclasses.replace(target, loader=loader)
    batch = target.write(row(name_page(number), 1, number) for number in range(ROWS))
    imported = target.import_batch(batch)
    assert (imported.status, imported.rows_staged, imported.rows_changed) == ("applied", ROWS, ROWS)
    assert target.import_batch(batch).status == "already_applied"
    with target.connect() as aurora:
        sweep = Sweeper(target.mapping, aurora, S3Objects(), target.bucket, "r1", 1_700_000_000).plan(make_totals())
    assert sweep.rows == ROWS
    assert target.hits() == {name_page(number): number for number in range(ROWS)}


@pytest.mark.parametrize("name", CASES)
def test_what_the_server_has_for_others_changes_nothing(
    target: Target, server: DatabaseServer, loader: Credentials, name: str
) -> None:
    settings = settings_of(target, name)
    with set_globally(server, **settings):
        prepare_import_and_sweep(target, loader)


def test_all_of_it_together_changes_nothing(target: Target, server: DatabaseServer, loader: Credentials) -> None:
    of_server = ON_MARIADB if is_mariadb(server_version(target)) else ON_MYSQL
    with set_globally(server, **EVERYWHERE, **of_server):
        prepare_import_and_sweep(target, loader)


@pytest.mark.parametrize("user", ["loader", "administrator"])
def test_a_session_has_each_setting_that_it_needs(target: Target, server: DatabaseServer, user: str) -> None:
    known = is_mariadb(server_version(target))
    needed = SESSION | (SESSION_OF_MARIADB if known else SESSION_OF_MYSQL)
    hostile = EVERYWHERE | (ON_MARIADB if known else ON_MYSQL)
    assert needed.keys() - {"sql_big_selects"} <= hostile.keys(), "max_join_size decides on that one"
    with set_globally(server, **hostile), connect(target.endpoint, getattr(target, user)) as aurora:
        for name, value in needed.items():
            ((is_set,),) = aurora.query(f"SELECT @@SESSION.{name} = {value}")
            assert is_set or name == "sql_mode", name
        ((mode, isolation, reads_only),) = aurora.query(
            "SELECT @@sql_mode, @@tx_isolation, @@tx_read_only"
            if known
            else "SELECT @@sql_mode, @@transaction_isolation, @@transaction_read_only"
        )
    assert set(mode.split(",")) == set(SESSION["sql_mode"].strip("'").split(","))
    assert (isolation, reads_only) == ("READ-COMMITTED", 0)


def test_a_warning_that_the_server_keeps_no_text_of_is_one(target: Target, server: DatabaseServer) -> None:
    with (
        set_globally(server, max_error_count=0),
        pytest.raises(MalformedBatchError, match="gave 1 warnings, and 0 can be read"),
    ):
        target.import_batch(target.write_bytes(b"0,1.5,a,b,1,2,start,end,NL\n"))
    assert target.ledger() == {}
