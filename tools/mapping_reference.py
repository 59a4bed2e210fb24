"""The reference of the mapping file: docs/mapping.md, made of the JSON Schema that mappings are checked against.

    python -m tools.mapping_reference            prints it
    python -m tools.mapping_reference --write    and puts it into docs/mapping.md

What the schema says of a property is its text here: there is one place to write it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dynaurora.mappings.files import SCHEMA_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Schema = dict[str, Any]

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "mapping.md"
HEAD: Final = """\
# The mapping file

One JSON file for each replicated table says what is read, what an item has to be, and which columns its attributes
become. This page is generated from [`mapping.schema.json`](../dynaurora/mapping.schema.json): `make docs` writes it.

`dynaurora mapping infer` makes the file of the items of a table, an export or a file, and `dynaurora mapping check`
tells all that is wrong with it. What becomes of values, type by type, is in [Values](values.md); tables that hold items
of several types are in [Single-table design](single-table-design.md).

An editor that knows JSON Schema completes and checks the file by its `$schema`. What `mapping infer` writes names a
copy of the schema beside the mappings, `.schema/mapping.schema.json`, which works without a network; `dynaurora mapping
schema` prints it.
"""


def render() -> str:
    """Return the page: a table for each object that a mapping file has."""
    schema: Schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    return "\n".join([HEAD, *_objects(schema, schema, "The file")])


def _objects(root: Schema, schema: Schema, title: str) -> Iterator[str]:
    """Yield the section of an object, then those of the objects inside of it."""
    required = schema.get("required", [])
    properties = {name: _resolve(root, each) for name, each in schema["properties"].items()}
    yield f"## {title}\n"
    if title.startswith("`") and "description" in schema:
        yield f"{schema['description']}\n"
    yield "| name | | what |\n|---|---|---|"
    for name, each in properties.items():
        kind = _kind(root, each) + (", required" if name in required else "")
        yield f"| `{name}` | {kind} | {_cell(each.get('description', ''))} |"
    yield ""
    for name, each in properties.items():
        for inner in _inner_objects(root, each):
            yield from _objects(root, inner, f"{title} → `{name}`" if title.startswith("`") else f"`{name}`")


def _inner_objects(root: Schema, schema: Schema) -> Iterator[Schema]:
    """Yield the schemas of objects that a property is, holds in a list, or may be."""
    schema = _resolve(root, schema)
    if "properties" in schema and schema.get("additionalProperties") is False:
        yield schema
    if "items" in schema:
        yield from _inner_objects(root, schema["items"])
    for each in schema.get("oneOf", []):
        yield from _inner_objects(root, each)


def _resolve(root: Schema, schema: Schema) -> Schema:
    """Return a schema with what its reference leads to, its own words first."""
    while "$ref" in schema:
        found: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found | {name: value for name, value in schema.items() if name != "$ref"}
    return schema


def _kind(root: Schema, schema: Schema) -> str:
    """Return what a property is, in a few words."""
    schema = _resolve(root, schema)
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "oneOf" in schema:
        return " or ".join(dict.fromkeys(_kind(root, each) for each in schema["oneOf"]))
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"list of {_kind(root, schema['items'])}"
    return " or ".join(kind) if isinstance(kind, list) else kind


def _cell(text: str) -> str:
    """Return text as a cell of a table has it."""
    return text.replace("|", "\\|")


def run(arguments: Sequence[str]) -> None:
    """Print the page, or write it where `--write` is asked for."""
    if "--write" in arguments:
        PAGE.write_text(render(), "utf-8")
    else:
        sys.stdout.write(render())


if __name__ == "__main__":
    run(sys.argv[1:])
