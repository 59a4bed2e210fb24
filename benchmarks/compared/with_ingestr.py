"""ingestr: one command that reads DynamoDB and writes MySQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote

from benchmarks.compared.contestant import Contestant
from benchmarks.compared.items import CURSOR, KEY
from benchmarks.compared.running import find_version, run
from local import venvs

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.compared.running import Usage, World

MERGE: Final = ("--incremental-strategy", "merge", "--incremental-key", CURSOR, "--primary-key", KEY)
"""How what has changed is brought, as its page on DynamoDB has it for incremental loads."""
COLUMNS: Final = ("--columns", f"{KEY}:varchar(768)")
"""The key's type, at the longest that an index takes: by itself ingestr makes it TEXT, which MySQL has no key of."""
SETTINGS: Final = {"DISABLE_TELEMETRY": "true"}
"""It tells nobody of its runs."""


class Ingestr(Contestant):
    """The command, run again for changes."""

    title: ClassVar = "ingestr"
    database: ClassVar = "compared_ingestr"

    def describe(self) -> str:
        """Return what it is, with its version."""
        return f"ingestr {find_version('ingestr', 'ingestr')}, `--incremental-strategy merge`, the key's type given"

    def load(self, world: World, table: str) -> Usage:
        """Run the command."""
        program = venvs.ensure("ingestr").with_name("ingestr")
        uris = ("--source-uri", self._find_source(world), "--dest-uri", self._find_target(world))
        tables = ("--source-table", table, "--dest-table", f"{self.database}.{table}")
        command: list[str | Path] = [program, "ingest", "--yes", "--progress", "log", *uris, *tables, *MERGE, *COLUMNS]
        return run(command, world.environment | SETTINGS, world.project)

    def follow(self, world: World, table: str) -> Usage:
        """Run it again: it merges what it reads."""
        return self.load(world, table)

    @staticmethod
    def _find_source(world: World) -> str:
        given = world.environment
        keys = f"access_key_id={given['AWS_ACCESS_KEY_ID']}&secret_access_key={given['AWS_SECRET_ACCESS_KEY']}"
        endpoint = given["AWS_ENDPOINT_URL"].removeprefix("http://")
        return f"dynamodb://{endpoint}?region={given['AWS_REGION']}&{keys}"

    def _find_target(self, world: World) -> str:
        """Return the database's address; the local certificate's authority cannot be named, so it is not checked."""
        aurora = world.state.aurora
        password = quote(aurora.password, safe="")
        return f"mysql://{aurora.user}:{password}@{aurora.host}:{aurora.port}/{self.database}?tls=skip-verify"
