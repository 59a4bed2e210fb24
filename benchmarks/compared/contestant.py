"""What is compared: each copies a table, follows its changes, and tells where its rows are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from benchmarks.compared.running import Usage

if TYPE_CHECKING:
    from benchmarks.compared.judging import Row
    from benchmarks.compared.running import World


class Contestant(ABC):
    """One way to have a table of DynamoDB in MySQL."""

    title: ClassVar[str]
    database: ClassVar[str]
    """Where its tables are, each with the name of the one in DynamoDB."""

    @abstractmethod
    def describe(self) -> str:
        """Return what it is, with its version."""

    def prepare(self, world: World, table: str) -> Usage:  # noqa: ARG002 (others have something to do)
        """Do what is done once for a table, before its first load. Raises StoppedError."""
        return Usage(0.0, 0.0)

    @abstractmethod
    def load(self, world: World, table: str) -> Usage:
        """Copy a table for the first time. Raises StoppedError."""

    @abstractmethod
    def follow(self, world: World, table: str) -> Usage:
        """Bring what has changed since. Raises StoppedError."""

    def find_rows(self, world: World, table: str) -> list[Row]:
        """Return the table's rows."""
        return world.read_rows(self.database, table)

    def find_refused(self, world: World, table: str) -> dict[str, str]:  # noqa: ARG002 (others name some)
        """Return the items that it says it left out, by key, and why: most tools take all, or nothing."""
        return {}
