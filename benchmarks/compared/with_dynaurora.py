"""dynaurora: a mapping that it infers, a deployment, a backfill; changes come by the stream, and are verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from benchmarks.compared.contestant import Contestant
from benchmarks.compared.items import KEY
from benchmarks.compared.running import measure_functions, read_lines, since
from dynaurora import __version__

if TYPE_CHECKING:
    from benchmarks.compared.running import Usage, World


class Dynaurora(Contestant):
    """The product, by its commands, without an edit of what it infers."""

    title: ClassVar = "dynaurora"
    database: ClassVar = "replicas"

    def describe(self) -> str:
        """Return what it is, with its version."""
        return f"dynaurora {__version__}, the mapping as `dynaurora mapping infer` writes it"

    def prepare(self, world: World, table: str) -> Usage:
        """Infer a mapping, and deploy the replication."""
        inferred = world.dynaurora("mapping", "infer", "--table", table, "-o", f"mappings/{table}.json")
        return inferred + world.dynaurora("local", "up", "--engine", world.state.engine)

    def load(self, world: World, table: str) -> Usage:
        """Backfill the table; what is refused ends no run here."""
        before = measure_functions(world)
        tolerance = ("--tolerated-rejected-percentage", "100")
        commands = world.dynaurora("backfill", "start", table, "--watch", *tolerance)
        return commands + since(measure_functions(world), before)

    def follow(self, world: World, table: str) -> Usage:
        """Wait for the stream by verifying: that looks again until rows are equal, and fails where one is not."""
        before = measure_functions(world)
        commands = world.dynaurora("verify", table)
        return commands + since(measure_functions(world), before)

    def find_refused(self, world: World, table: str) -> dict[str, str]:
        """Return what is kept as failed."""
        listed = read_lines(world.dynaurora("failures", "list", table, "--limit", "10000", "--json").output)
        return {
            failure["item"][KEY]["S"]: "; ".join(str(reason["message"]) for reason in failure["reasons"])
            for failure in listed
            if failure["item"]
        }
