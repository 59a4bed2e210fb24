"""Replications: what a table's own stack tells the shared functions, kept in the registry beside its mapping.

    mappings/mapping=<m>/replication.json   {"mapping": "orders", "stack": "dynaurora-orders", "table_arn": "arn:…",
                                             "event_source_mappings": ["14e0db71-…"], "ttl_deletes": "replicate"}

It is written by the stack's custom resource once all else of the stack is there, and erased with the stack. A function
that is told a mapping finds here which table that is of; a mapping without it is replicated by nobody.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.errors import InvalidSettingsError, TargetTakenError, UnknownMappingError
from dynaurora.mappings.registry import Pointer, Registry

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

TTL_DELETES: Final = ("replicate", "ignore")


@dataclass(frozen=True, slots=True)
class Replication:
    """One replicated table."""

    mapping: str
    stack: str
    """The stack's name."""
    table_arn: str
    event_source_mappings: tuple[str, ...]
    """Ids of what reads the table's stream, and of what read it before: the newest first."""
    ttl_deletes: Literal["replicate", "ignore"]
    """What becomes of deletes by Time to Live: replicated, or ignored so that Aurora keeps expired items' rows."""

    @property
    def table(self) -> str:
        """The table's name."""
        return self.table_arn.partition(":table/")[2]

    @property
    def event_source_mapping(self) -> str:
        """The id of what reads the table's stream."""
        return self.event_source_mappings[0]

    @property
    def ignores_expiries(self) -> bool:
        """Whether deletes by Time to Live are not replicated."""
        return self.ttl_deletes == "ignore"

    def encode(self) -> bytes:
        """Return it as the registry keeps it."""
        return json.dumps(asdict(self), indent=2).encode()

    @classmethod
    def decode(cls, body: bytes) -> Replication:
        """Return the replication in a body; fields of a later release are passed over.

        Raises InvalidSettingsError where it is none.
        """
        try:
            given = json.loads(body)
            mappings = tuple(map(str, given["event_source_mappings"]))
            found = cls(given["mapping"], given["stack"], given["table_arn"], mappings, given["ttl_deletes"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidSettingsError(f"What is registered of a replication is none: {error!r}.") from error
        if found.ttl_deletes not in TTL_DELETES or not mappings or not found.table:
            raise InvalidSettingsError(f"What is registered of the replication {found.mapping} is none.")
        return found


def read_replication(store: ObjectStore, bucket: str, mapping: str) -> Replication:
    """Return the replication of a mapping. Raises UnknownMappingError where nobody replicates by it."""
    body = read_or_none(store, bucket, keys.replication(mapping))
    if body is None:
        raise UnknownMappingError(f"No replication of mapping {mapping} is deployed on this platform.")
    return Replication.decode(body)


class KnownReplications:
    """The replications of a platform, each read again only where it is another than before; made once in a process.

    A list of the registry says which those are. Without that, each of a hundred deployments would read a hundred
    replications and their mappings.
    """

    def __init__(self) -> None:
        self._bodies: dict[str, tuple[str, bytes]] = {}
        """By key: the ETag that a listing had of an object, and what was in it."""
        self._tables: dict[str, frozenset[tuple[str, str]]] = {}
        """By the key of a document, which is written once: the views and tables that it takes."""

    def find_all(self, store: ObjectStore, bucket: str) -> list[Replication]:
        """Return every replication of a platform."""
        return self._decode_all(store, bucket, self._look(store, bucket))

    def check_target_free(self, store: ObjectStore, bucket: str, mapping: Mapping) -> None:
        """Raise TargetTakenError where another replication writes the table that a mapping writes."""
        wanted = list_tables(mapping)
        listed = self._look(store, bucket)
        for other in self._decode_all(store, bucket, listed):
            pointer = self._read(store, bucket, keys.mapping_pointer(other.mapping), listed)
            if other.mapping == mapping.name or pointer is None:  # or none of its mappings was ever activated
                continue
            digest = Pointer.decode(pointer).digest
            for table in sorted(self._find_tables(store, bucket, other.mapping, digest) & wanted.keys()):
                raise TargetTakenError(
                    f"Mapping {mapping.name} writes {wanted[table]}, as mapping {other.mapping} of stack {other.stack}"
                    " does."
                )

    def _look(self, store: ObjectStore, bucket: str) -> dict[str, str]:
        """Return what the registry has: key → ETag."""
        return {each.key: each.etag for each in store.list(bucket, f"{keys.MAPPINGS}/")}

    def _decode_all(self, store: ObjectStore, bucket: str, listed: dict[str, str]) -> list[Replication]:
        bodies = [self._read(store, bucket, key, listed) for key in filter(keys.is_replication, listed)]
        return [Replication.decode(body) for body in bodies if body]

    def _read(self, store: ObjectStore, bucket: str, key: str, listed: dict[str, str]) -> bytes | None:
        """Return what is in an object; None where there is none, or it was deleted since it was listed."""
        etag, body = self._bodies.get(key, ("", b""))
        if key not in listed or etag == listed[key]:
            return body if key in listed else None
        found = read_or_none(store, bucket, key)
        if found is not None:
            self._bodies[key] = listed[key], found
        return found

    def _find_tables(self, store: ObjectStore, bucket: str, name: str, digest: str) -> frozenset[tuple[str, str]]:
        key = keys.mapping_document(name, digest)
        if key not in self._tables:
            self._tables[key] = frozenset(list_tables(Registry(store, bucket, name).find(digest)))
        return self._tables[key]


def list_replications(store: ObjectStore, bucket: str) -> list[Replication]:
    """Return every replication of a platform, by reading each."""
    return KnownReplications().find_all(store, bucket)


def list_tables(mapping: Mapping) -> dict[tuple[str, str], str]:
    """Return what the targets of a mapping take in the database, views and the tables with their rows, as written.

    By what tells each from others on a server that knows no case. A view is never named as another's rows are.
    """
    named = [(target.database, name) for target in mapping.targets for name in (target.table, target.replica)]
    return {(database.lower(), name.lower()): f"{database}.{name}" for database, name in named}


def register_replication(
    store: ObjectStore, bucket: str, replication: Replication, others: KnownReplications | None = None
) -> None:
    """Make a replication known. Raises TargetTakenError where another stack has its mapping, or writes its table."""
    body = read_or_none(store, bucket, keys.replication(replication.mapping))
    known = None if body is None else Replication.decode(body)
    if known and known.stack != replication.stack:
        raise TargetTakenError(f"Mapping {replication.mapping} is replicated by stack {known.stack} already.")
    registry = Registry(store, bucket, replication.mapping)
    if registry.is_activated():  # else a person prepares the target later
        (others or KnownReplications()).check_target_free(store, bucket, registry.find_current())
    earlier = known.event_source_mappings if known else ()
    readers = tuple(dict.fromkeys((*replication.event_source_mappings, *earlier)))
    whole = replace(replication, event_source_mappings=readers)
    store.write(bucket, keys.replication(replication.mapping), whole.encode())


def forget_replication(store: ObjectStore, bucket: str, mapping: str, stack: str) -> bool:
    """Make known that a stack replicates by a mapping no more; tell whether it did. Documents stay, for good."""
    body = read_or_none(store, bucket, keys.replication(mapping))
    if body is None or Replication.decode(body).stack != stack:
        return False
    store.delete(bucket, keys.replication(mapping))
    return True
