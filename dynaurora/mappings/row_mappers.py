"""Row mappers of a function: one for each mapping that it works by, made when it is first asked for.

The mappings come from the registry, so a function that runs on goes over to a newer one by itself, and maps what was
read under an older one by that.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from dynaurora.mappings.bounds import find_costly
from dynaurora.mappings.sandbox import SandboxedRowMapper, choose_row_mapper
from dynaurora.mappings.unmapped import Unmapped
from dynaurora.observability import logger

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.registry import Registries, Registry
    from dynaurora.mappings.row_mapper import RowMapper

MAX_ROW_MAPPERS: Final = 8
"""Kept at the same time; each is compiled code. What is on its way to a target was read under two or three documents
at most, and a process that serves many mappings makes the others anew."""

MadeMappers = dict[tuple[str, str, str, bool], "RowMapper"]


class RowMappers:
    """The row mappers of one mapping's documents; made once in a process."""

    def __init__(self, registry: Registry, made: MadeMappers | None = None, ends_at: float = math.inf) -> None:
        """Take the registry of the mapping, and what was made for others where they share the room there is.

        `ends_at`, of the monotonic clock, is when the invocation ends.
        """
        self._registry = registry
        self._made = {} if made is None else made
        """By mapping, digest and place, and whether in a sandbox whatever the mapping; the one that was used last
        behind all others."""
        self._ends_at = ends_at

    def begin(self, seconds: float) -> None:
        """Begin an invocation that has so many seconds left."""
        self._ends_at = time.monotonic() + seconds

    def find_current(self) -> RowMapper:
        """Return what maps by the current mapping. Raises what the registry's `find_current` does."""
        return self._find(self._registry.find_current())

    def find(self, digest: str) -> RowMapper:
        """Return what maps by the mapping of a digest. Raises what the registry's `find` does."""
        return self._find(self._registry.find(digest))

    def find_recorded(self, digest: str | None) -> RowMapper:
        """Return what maps by the mapping that was recorded. Raises what the registry's `find_recorded` does."""
        return self._find(self._registry.find_recorded(digest))

    def find_careful(self, mapping: Mapping) -> RowMapper:
        """Return what maps by a mapping in a sandbox, whatever it is: for what ended its process before."""
        return self._find(mapping, is_careful=True)

    def take_unmapped(self) -> Unmapped:
        """Return what no column took since it was asked for last, by any of the mappings."""
        found = Unmapped()
        for (name, *_), mapper in self._made.items():
            if name == self._registry.name:
                for target in mapper.targets:
                    found.merge(target.unmapped.take())
        return found

    def _find(self, mapping: Mapping, *, is_careful: bool = False) -> RowMapper:
        key = mapping.name, mapping.digest, mapping.place, is_careful
        mapper = self._made.pop(key, None) or make_row_mapper(mapping, is_careful=is_careful)
        self._made[key] = mapper
        if isinstance(mapper, SandboxedRowMapper):
            mapper.sandbox.allow(self._ends_at - time.monotonic())
        while len(self._made) > MAX_ROW_MAPPERS:
            del self._made[next(iter(self._made))]
        return mapper


class SharedRowMappers:
    """The row mappers of a function that works for all mappings; made once in a process."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries
        self._made: MadeMappers = {}
        self._ends_at = math.inf

    def begin(self, seconds: float) -> None:
        """Begin an invocation that has so many seconds left."""
        self._ends_at = time.monotonic() + seconds

    def of(self, name: str) -> RowMappers:
        """Return the row mappers of a mapping. Raises UnknownMappingError where it cannot be the name of one."""
        return RowMappers(self._registries.find(name), self._made, self._ends_at)


def make_row_mapper(mapping: Mapping, *, is_careful: bool = False) -> RowMapper:
    """Return what maps by a mapping, and tell where it does so in a sandbox, or plainly, which is slower."""
    mapper = SandboxedRowMapper(mapping) if is_careful else choose_row_mapper(mapping)
    if isinstance(mapper, SandboxedRowMapper):
        why = [str(each) for target in mapping.targets for each in find_costly(target)]
        logger.info("Records are mapped in a process of their own", extra={"why": why or "an attempt died"})
    elif mapper.writer.why_plain:
        logger.info("Records are mapped plainly", extra={"why": mapper.writer.why_plain})
    return mapper
