"""The registry as a deployment leaves it: documents of mappings, and a pointer to the current one."""

from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.registry import Pointer, Registry, point_at, publish_document
from tests.support.example import load_example
from tests.support.fakes import InMemoryObjects
from tests.support.functions import ENVIRONMENT

BUCKET = ENVIRONMENT["LANDING_BUCKET"]


def activate(store: InMemoryObjects, mapping: Mapping, generation: int = 1, bucket: str = BUCKET) -> None:
    """Make a mapping the current one."""
    publish_document(store, bucket, mapping)
    point_at(store, bucket, mapping.name, Pointer(mapping.digest, generation))


def make_registry(*mappings: Mapping, store: InMemoryObjects | None = None, bucket: str = BUCKET) -> Registry:
    """Return a registry with these mappings, the last one current; of web_analytics's where none is given."""
    store = InMemoryObjects() if store is None else store
    activated = mappings or (load_example(),)
    for generation, mapping in enumerate(activated, 1):
        activate(store, mapping, generation, bucket)
    return Registry(store, bucket, activated[-1].name)
