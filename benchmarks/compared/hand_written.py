"""A program written by hand: boto3's scan, json, and `INSERT … ON DUPLICATE KEY UPDATE`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks.compared.contestant import Contestant
from benchmarks.compared.running import run

if TYPE_CHECKING:
    from benchmarks.compared.running import Usage, World

PROGRAM = Path(__file__).with_name("programs") / "hand_written.py"


class HandWritten(Contestant):
    """The program, run again for changes."""

    title: ClassVar = "by hand"
    database: ClassVar = "compared_by_hand"

    def describe(self) -> str:
        """Return what it is, with its version."""
        lines = len(PROGRAM.read_text("utf-8").splitlines())
        return f"a program of {lines} lines, boto3 {version('boto3')}, PyMySQL {version('PyMySQL')}"

    def load(self, world: World, table: str) -> Usage:
        """Copy a table."""
        return run([sys.executable, PROGRAM, table, self.database], world.environment, world.project)

    def follow(self, world: World, table: str) -> Usage:
        """Copy it again: it knows no better."""
        return self.load(world, table)
