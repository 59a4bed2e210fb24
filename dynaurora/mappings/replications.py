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
from dynaurora.mappings.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def list_replications(store: ObjectStore, bucket: str) -> Iterator[Replication]:
    """Yield every replication of a platform."""
    for listed in store.list(bucket, f"{keys.MAPPINGS}/"):
        if keys.is_replication(listed.key):
            body = read_or_none(store, bucket, listed.key)
            if body is not None:  # else its stack was deleted since it was listed
                yield Replication.decode(body)


def check_target_free(store: ObjectStore, bucket: str, mapping: Mapping) -> None:
    """Raise TargetTakenError where another replication writes the table that a mapping writes."""
    wanted = {name_view(target): target for target in mapping.targets}
    for other in list_replications(store, bucket):
        registry = Registry(store, bucket, other.mapping)
        if other.mapping == mapping.name or not registry.is_activated():
            continue
        for target in registry.find_current().targets:
            if own := wanted.get(name_view(target)):
                raise TargetTakenError(
                    f"Mapping {mapping.name} writes {own.database}.{own.table}, as mapping {other.mapping} of stack"
                    f" {other.stack} does."
                )


def name_view(target: Mapping) -> tuple[str, str]:
    """Return what tells the view of a target from others, on a server that knows no case."""
    return target.database.lower(), target.table.lower()


def register_replication(store: ObjectStore, bucket: str, replication: Replication) -> None:
    """Make a replication known. Raises TargetTakenError where another stack has its mapping, or writes its table."""
    body = read_or_none(store, bucket, keys.replication(replication.mapping))
    known = None if body is None else Replication.decode(body)
    if known and known.stack != replication.stack:
        raise TargetTakenError(f"Mapping {replication.mapping} is replicated by stack {known.stack} already.")
    registry = Registry(store, bucket, replication.mapping)
    if registry.is_activated():  # else a person prepares the target later
        check_target_free(store, bucket, registry.find_current())
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
