"""dlt: a resource over boto3's scan, merged into MySQL by its destination for SQLAlchemy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks.compared.contestant import Contestant
from benchmarks.compared.running import find_version, run
from local import venvs

if TYPE_CHECKING:
    from benchmarks.compared.running import Usage, World

PROGRAM = Path(__file__).with_name("programs") / "dlt_pipeline.py"
SETTINGS = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
"""It tells nobody of its runs, and nothing on the way."""


class Dlt(Contestant):
    """The pipeline, run again for changes."""

    title: ClassVar = "dlt"
    database: ClassVar = "compared_dlt"

    def describe(self) -> str:
        """Return what it is, with its version."""
        lines = len(PROGRAM.read_text("utf-8").splitlines())
        return f"dlt {find_version('dlt', 'dlt')}, a pipeline of {lines} lines"

    def load(self, world: World, table: str) -> Usage:
        """Run the pipeline."""
        own = {"DLT_DATA_DIR": str(world.project / "dlt"), "DLT_PROJECT_DIR": str(world.project)}
        command: list[str | Path] = [venvs.ensure("dlt"), PROGRAM, table, self.database]
        return run(command, world.environment | SETTINGS | own, world.project)

    def follow(self, world: World, table: str) -> Usage:
        """Run it again: it asks for what is newer."""
        return self.load(world, table)
