"""The example's project, whose mapping most tests replicate by."""

from functools import cache

from dynaurora.mappings.mapping import Mapping, load_mapping_file
from infra.places import EXAMPLE

EXAMPLE_FILE = EXAMPLE / "mappings" / "web_analytics.json"


@cache
def load_example(name: str = "web_analytics") -> Mapping:
    """Return the example's mapping."""
    return load_mapping_file(EXAMPLE_FILE.with_stem(name))
