"""Writers: the mappings that wrote a batch's rows, found by what the rows say of them.

Which generations there are is read for each import; a document never changes, so it is read once in a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynaurora.aurora import sql
from dynaurora.aurora.generations import Generations
from dynaurora.aurora.origins import trace_origin
from dynaurora.errors import TargetMismatchError, UnregisteredMappingError
from dynaurora.mappings.csv_format import make_label

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.origins import Origin
    from dynaurora.mappings.mapping import Mapping

_documents: dict[tuple[str, str], Mapping] = {}
"""Mappings by name and digest."""


class Writers:
    """The mappings of one name that one database knows, read when it is made."""

    def __init__(self, aurora: Aurora, mapping: Mapping) -> None:
        self._aurora = aurora
        self._mapping = mapping
        self._generations = Generations(aurora, mapping.database, mapping.name)
        _documents[mapping.name, mapping.digest] = mapping

    @property
    def current_label(self) -> str:
        """The label of what the current mapping writes."""
        return make_label(self._mapping.table, self._mapping.digest)

    def list_labels(self) -> list[str]:
        """Return the labels that rows of any mapping of these targets have."""
        digests = {one.digest for one in self._generations.all} | {self._mapping.digest}
        return sorted(make_label(target.table, digest) for target in self._mapping.targets for digest in digests)

    def find_origin(self, label: str, digest: str | None) -> Origin:
        """Return the origin of rows: of a label, or of a digest; without either the first mapping wrote them.

        Raises UnregisteredMappingError, and TargetMismatchError where no mapping was ever activated.
        """
        table, _, short = label.partition(".")
        generation = self._generations.find(short or digest or self._find_first())
        document = self._read(generation.digest)
        mapping = document.find_target(table) if label else document
        if mapping is None:
            writes = ", ".join(target.table for target in document.targets)
            raise UnregisteredMappingError(f"Mapping {document.name} {short} writes {writes}, and not {table}.")
        activations = [one for one in self._generations.all if one.number]
        documents = [(one.number, self._read(one.digest)) for one in activations]
        history = [(number, each.find_replica(mapping.replica) or each) for number, each in documents]
        origin = trace_origin(mapping, generation.number, history)
        if not origin.later:
            return origin
        return origin.within([name for name, *_ in self._aurora.query(sql.show_columns(mapping, mapping.replica))])

    def _find_first(self) -> str:
        first = self._generations.first
        if first is None:
            raise TargetMismatchError(f"No mapping {self._mapping.name} was ever activated in this database.")
        return first.digest

    def _read(self, digest: str) -> Mapping:
        key = self._mapping.name, digest
        if key not in _documents:
            _documents[key] = self._generations.read_mapping(digest)
        return _documents[key]
