"""Row mappers of a function: one for each mapping that it works by, made when it is first asked for.

The mappings come from the registry, so a function that runs on goes over to a newer one by itself, and maps what was
read under an older one by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.unmapped import Unmapped
from dynaurora.observability import logger

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.registry import Registries, Registry

MAX_ROW_MAPPERS: Final = 8
"""Kept at the same time; each is compiled code. What is on its way to a target was read under two or three documents
at most, and a process that serves many mappings makes the others anew."""


class RowMappers:
    """The row mappers of one mapping's documents; made once in a process."""

    def __init__(self, registry: Registry, made: dict[tuple[str, str], RowMapper] | None = None) -> None:
        """Take the registry of the mapping, and what was made for others where they share the room there is."""
        self._registry = registry
        self._made = {} if made is None else made
        """By mapping and digest, the one that was used last behind all others."""

    def find_current(self) -> RowMapper:
        """Return what maps by the current mapping. Raises what the registry's `find_current` does."""
        return self._find(self._registry.find_current())

    def find(self, digest: str) -> RowMapper:
        """Return what maps by the mapping of a digest. Raises what the registry's `find` does."""
        return self._find(self._registry.find(digest))

    def find_recorded(self, digest: str | None) -> RowMapper:
        """Return what maps by the mapping that was recorded. Raises what the registry's `find_recorded` does."""
        return self._find(self._registry.find_recorded(digest))

    def take_unmapped(self) -> Unmapped:
        """Return what no column took since it was asked for last, by any of the mappings."""
        found = Unmapped()
        for (name, _), mapper in self._made.items():
            if name == self._registry.name:
                for target in mapper.targets:
                    found.merge(target.unmapped.take())
        return found

    def _find(self, mapping: Mapping) -> RowMapper:
        made_for = mapping.name, mapping.digest
        mapper = self._made.pop(made_for, None) or make_row_mapper(mapping)
        self._made[made_for] = mapper
        while len(self._made) > MAX_ROW_MAPPERS:
            del self._made[next(iter(self._made))]
        return mapper


class SharedRowMappers:
    """The row mappers of a function that works for all mappings; made once in a process."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries
        self._made: dict[tuple[str, str], RowMapper] = {}

    def of(self, name: str) -> RowMappers:
        """Return the row mappers of a mapping. Raises UnknownMappingError where it cannot be the name of one."""
        return RowMappers(self._registries.find(name), self._made)


def make_row_mapper(mapping: Mapping) -> RowMapper:
    """Return what maps by a mapping, and tell where it does so plainly, which is slower."""
    mapper = RowMapper(mapping)
    if mapper.writer.why_plain:
        logger.info("Records are mapped plainly", extra={"why": mapper.writer.why_plain})
    return mapper
