"""What a mapping file has to be, by JSON Schema: its own shape, and the schema of items in it.

Apart from `dynaurora.mappings.mapping`, since `jsonschema` takes longer to import than all the rest of a function. A
package's mappings were checked when it was built.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from dynaurora.errors import InvalidMappingError
from dynaurora.mappings.compiled.schemas import DRAFT
from dynaurora.mappings.patterns import InvalidPatternError, compile_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from referencing._core import Resolver

REFERENCES = {"$ref", "$dynamicRef"}
SCHEMA_FILE = Path(__file__).parents[1] / "mapping.schema.json"


def check_document(document: Any, file_name: str) -> None:
    """Check a parsed mapping file.

    Raises InvalidMappingError for the first thing that does not hold, naming the path inside the file.
    """
    if isinstance(document, dict) and "targets" in document:
        for member in sorted({"schema", "target"} & document.keys()):
            _fail(file_name, f"$.{member}", "a file with targets has it in each of them, and not beside them")
    error = best_match(Draft202012Validator(json.loads(SCHEMA_FILE.read_text("utf-8"))).iter_errors(document))
    if error:
        _fail(file_name, error.json_path, error.message)
    if "targets" not in document:
        check_schema(document["schema"], file_name, "$.schema")
    for index, target in enumerate(document.get("targets", ())):
        check_schema(target["schema"], file_name, f"$.targets[{index}].schema")


def check_schema(schema: Any, file_name: str, place: str) -> None:
    """Check the schema of items that is at a place of a mapping file. Raises InvalidMappingError."""
    try:
        Draft202012Validator.check_schema(schema, format_checker=_make_checker())
    except SchemaError as error:
        _fail(file_name, error.json_path.replace("$", place, 1), error.message)
    if isinstance(schema, dict):
        dialect = schema.get("$schema", DRAFT)
        if dialect.rstrip("#") != DRAFT:
            _fail(file_name, f"{place}.$schema", f"{dialect!r} is not the dialect of mappings, {DRAFT}")
        _check_references(DRAFT202012.create_resource(schema), file_name, place)


@cache
def _make_checker() -> FormatChecker:
    """Return what checks the formats in a schema; a regular expression is one that records can be judged by."""
    checker = FormatChecker()
    checker.checkers = {**FormatChecker.checkers, **Draft202012Validator.FORMAT_CHECKER.checkers}

    @checker.checks("regex", raises=InvalidPatternError)
    def is_pattern(value: object) -> bool:
        return not isinstance(value, str) or compile_pattern(value) is not None

    return checker


def _check_references(root: Resource[Any], file_name: str, place: str) -> None:
    """Refuse a reference that leaves the file, or leads nowhere: it would fail with the first record."""
    paths = dict(_object_paths(root.contents, place))
    pending = [(root, Registry().resolver_with_root(root))]
    while pending:
        resource, resolver = pending.pop()
        for keyword in REFERENCES & resource.contents.keys() if isinstance(resource.contents, dict) else ():
            path = f"{paths[id(resource.contents)]}.{keyword}"
            _check_reference(resolver, resource.contents[keyword], file_name, path)
        pending += [(child, resolver.in_subresource(child)) for child in resource.subresources()]


def _check_reference(resolver: Resolver[Any], reference: str, file_name: str, path: str) -> None:
    if not reference.startswith("#"):
        _fail(file_name, path, f"{reference!r} leads out of the file; only references as '#/$defs/name' are followed")
    try:
        resolver.lookup(reference)
    except Unresolvable:
        _fail(file_name, path, f"{reference!r} leads nowhere")


def _object_paths(value: Any, path: str) -> Iterator[tuple[int, str]]:
    """Yield the identity of each object inside of a parsed file, with its path."""
    if isinstance(value, dict):
        yield id(value), path
        for name, member in value.items():
            yield from _object_paths(member, f"{path}.{name}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _object_paths(member, f"{path}[{index}]")


def _fail(file_name: str, path: str, problem: str) -> NoReturn:
    raise InvalidMappingError(f"{file_name} at {path}: {problem}.")
