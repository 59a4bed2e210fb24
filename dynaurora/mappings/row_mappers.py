"""Row mappers of a function: one for each mapping that it has worked by, made when it is first asked for.

The mapping comes from the registry, so a function that has started goes on to a newer one by itself, and maps what was
recorded with an older one by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.observability import logger

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.registry import Registry


class RowMappers:
    """The row mappers of one mapping's digests; made once in a process."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[str, RowMapper] = {}

    def find_current(self) -> RowMapper:
        """Return what maps by the current mapping. Raises what the registry's `find_current` does."""
        return self._make(self._registry.find_current())

    def find_recorded(self, digest: str | None) -> RowMapper:
        """Return what maps by the mapping of a digest. Raises what the registry's `find_recorded` does."""
        return self._make(self._registry.find_recorded(digest))

    def _make(self, mapping: Mapping) -> RowMapper:
        if mapping.digest not in self._made:
            mapper = self._made[mapping.digest] = RowMapper(mapping)
            if mapper.writer.why_plain:
                logger.info("Records are mapped plainly", extra={"why": mapper.writer.why_plain})
        return self._made[mapping.digest]
