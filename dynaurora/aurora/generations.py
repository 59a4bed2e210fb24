"""Generations: the mappings that a target's rows were written by, counted by activation, in `_dynaurora_mappings`.

The database's side of the registry (`dynaurora.mappings.registry`): whoever writes rows, or reads what wrote them, has
a connection and needs no bucket for it. Each row of a replica has in `_mapping` the generation that wrote it, 0 where
it was written before there were generations. A digest stands for its latest generation. One that was registered only to
read what it once wrote has the generation 0: at the same version, every other one wins over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.aurora.fills import begin_fills
from dynaurora.aurora.locks import holding, name_lock
from dynaurora.aurora.sql import quote
from dynaurora.aurora.system_tables import GENERATIONS
from dynaurora.errors import UnregisteredMappingError
from dynaurora.mappings.registry import load_document

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

ACTIVATION_WAIT_SECONDS: Final = 60
"""For another activation in the same database: two at once would count the same number."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One activation of a mapping."""

    number: int
    digest: str


class Generations:
    """The generations of one mapping in one database, read when it is made."""

    def __init__(self, aurora: Aurora, database: str, name: str) -> None:
        self._aurora = aurora
        self._table = f"{quote(database)}.{quote(GENERATIONS)}"
        self.name = name
        statement = f"SELECT generation, digest FROM {self._table} WHERE mapping = %s ORDER BY generation, digest"
        self.all = [Generation(int(number), digest) for number, digest in aurora.query(statement, (name,))]

    @property
    def current(self) -> Generation | None:
        """The latest one; None where no mapping was ever activated."""
        return self.all[-1] if self.all and self.all[-1].number else None

    @property
    def first(self) -> Generation | None:
        """The first one, which wrote what does not say what wrote it; None where there is none."""
        return next((one for one in self.all if one.number), None)

    def find(self, digest: str) -> Generation:
        """Return the latest generation of a digest, or of what begins so.

        Raises UnregisteredMappingError where there is none.
        """
        found = [one for one in self.all if one.digest.startswith(digest)] if digest else []
        if not found:
            raise UnregisteredMappingError(f"No mapping {self.name} of digest {digest!r} is known to this database.")
        return found[-1]

    def read_mapping(self, digest: str) -> Mapping:
        """Return the mapping of a digest. Raises UnregisteredMappingError, InvalidMappingError."""
        statement = f"SELECT document FROM {self._table} WHERE mapping = %s AND digest = %s LIMIT 1"
        rows = self._aurora.query(statement, (self.name, digest))
        if not rows:
            raise UnregisteredMappingError(f"No mapping {self.name} of digest {digest!r} is known to this database.")
        return load_document(self.name, rows[0][0], digest)


def activate(aurora: Aurora, mapping: Mapping) -> Generation:
    """Make a mapping the latest generation; where it is so already, nothing changes. Return it.

    Targets that are incomplete from then on are recorded with it (`dynaurora.aurora.fills`).
    Raises LockWaitError where another deployment keeps on doing the same.
    """
    with holding(aurora, name_lock(mapping.database, "generations"), ACTIVATION_WAIT_SECONDS):
        found = Generations(aurora, mapping.database, mapping.name)
        if found.current and found.current.digest == mapping.digest:
            return found.current
        number = found.current.number + 1 if found.current else 1
        active = found.read_mapping(found.current.digest) if found.current else None
        with aurora.transaction():
            begin_fills(aurora, mapping, active, number)
            _insert(aurora, mapping, number)
    return Generation(number, mapping.digest)


def register(aurora: Aurora, mapping: Mapping) -> Generation:
    """Make a mapping known that may have written rows, without activating it. Return its latest generation."""
    found = Generations(aurora, mapping.database, mapping.name)
    if all(one.digest != mapping.digest for one in found.all):
        with aurora.transaction():
            _insert(aurora, mapping, 0)
        return Generation(0, mapping.digest)
    return found.find(mapping.digest)


def _insert(aurora: Aurora, mapping: Mapping, number: int) -> None:
    statement = (
        f"INSERT INTO {quote(mapping.database)}.{quote(GENERATIONS)}"
        " (mapping, generation, digest, document, activated_at) VALUES (%s, %s, %s, %s, UTC_TIMESTAMP(6))"
    )
    aurora.execute(statement, (mapping.name, number, mapping.digest, mapping.text))
