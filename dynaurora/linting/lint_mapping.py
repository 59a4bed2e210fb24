"""Linting a mapping's file: the loader's own checks, all of them, and what only a reader of both halves would notice.

The loader refuses what does not hold, at the first thing that is wrong. Here everything is told, and besides: columns
that their attribute's schema never fits, names that a closed schema cannot have, expressions that are always NULL.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import jmespath
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from dynaurora.errors import InvalidMappingError
from dynaurora.linting.findings import DOUBTFUL, ERROR, LintFinding, point, point_to, read_problem, sort_findings
from dynaurora.linting.lint_columns import NUMERIC_TYPES, find_closed_names, find_column, suggest
from dynaurora.linting.value_types import NOTHING, SchemaView
from dynaurora.mappings.bounds import find_costly
from dynaurora.mappings.columns import parse_type
from dynaurora.mappings.expressions import compile_expression
from dynaurora.mappings.files import SCHEMA_FILE
from dynaurora.mappings.key_types import TABLE_KINDS
from dynaurora.mappings.mapping import SYSTEM_COLUMNS, build_mapping
from dynaurora.mappings.page_sizes import check_page
from dynaurora.mappings.patterns import InvalidPatternError, is_linear, list_patterns
from dynaurora.mappings.target_columns import CHANGED_AT_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.mappings.mapping import Mapping

    Document = dict[str, Any]

UNBUILDABLE: Final = frozenset({"shape", "schema"})
"""Rules of errors with which the loader would only say the same again."""


def lint_mapping(name: str, document: Any, key_types: dict[str, str] | None = None) -> list[LintFinding]:
    """Return all that is wrong or doubtful; `key_types` are the type descriptors of the table's keys, where known."""
    try:
        return find_everything(name, document, key_types)
    except RecursionError:
        return [LintFinding(ERROR, "shape", "", "it is nested too deep to be looked at", "Say it with fewer levels.")]


def find_everything(name: str, document: Any, key_types: dict[str, str] | None) -> list[LintFinding]:
    """Return all that is wrong or doubtful. Raises RecursionError for what is nested too deep."""
    shape = list(find_shape(document))
    if any(each.severity == ERROR for each in shape) and not is_readable(document):
        return sort_findings(shape)
    found = [*shape, *find_source_problems(document)]
    for part in list_parts(document):
        found += [*find_schema_problems(part), *find_columns(document, part), *find_names(part)]
    if not any(each.severity == ERROR and each.rule in UNBUILDABLE for each in found):
        found += find_whole(name, mend_columns(document))
    if key_types is not None:
        found += find_key_problems(document, key_types)
    return sort_findings(found)


@dataclass(frozen=True, slots=True)
class TargetPart:
    """What a file says of one target: its columns, and the schema of its items."""

    schema: Any
    columns: list[Document]
    schema_steps: tuple[str | int, ...]
    """To the schema, from the file's beginning."""
    target_steps: tuple[str | int, ...]


def list_parts(document: Document) -> list[TargetPart]:
    """Return the targets of a file, one or several. Raises what a document of another shape raises."""
    if "targets" not in document:
        return [TargetPart(document["schema"], document["target"]["columns"], ("schema",), ("target",))]
    return [
        TargetPart(each["schema"], each["columns"], ("targets", index, "schema"), ("targets", index))
        for index, each in enumerate(document["targets"])
    ]


def is_readable(document: Any) -> bool:
    """Tell whether the parts of a document that are looked at one by one are there, whatever else is wrong."""
    try:
        parts = list_parts(document)
        texts = [each[name] for part in parts for each in part.columns for name in ("name", "type", "from")]
        keys = [document["source"]["partition_key"], document["source"].get("sort_key", "")]
    except (KeyError, TypeError, AttributeError):
        return False
    are_schemas = all(isinstance(part.schema, dict | bool) for part in parts)
    return are_schemas and all(isinstance(text, str) for text in (*texts, *keys))


# The file's shape


def find_shape(document: Any) -> Iterator[LintFinding]:
    """Yield what the JSON Schema of mapping files says."""
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    for error in Draft202012Validator(schema).iter_errors(document):
        place = [*error.absolute_path]
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            known = list(error.schema.get("properties", {}))
            for extra in sorted(error.instance.keys() - set(known)):
                yield LintFinding(
                    ERROR, "shape", point(*place, extra), f"{extra!r} is not known here", suggest(extra, known)
                )
            continue
        inner = explain_choice(error)
        yield LintFinding(ERROR, "shape", point(*inner.absolute_path), inner.message)


def explain_choice(error: Any) -> Any:
    """Return what is wrong inside of a value that may be of several forms, in the form that it has the type of."""
    meant = [each for each in error.context if each.validator != "type" or len(each.relative_path)]
    return explain_choice(meant[0]) if meant else error


# The schema of items


def find_schema_problems(part: TargetPart) -> Iterator[LintFinding]:
    """Yield what is wrong with the schema of items: as a schema, and where an item could make it slow."""
    validator = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    broken = False
    for error in validator.iter_errors(part.schema):
        broken = True
        most: Any = error if not error.context else min(error.context, key=lambda each: -len(each.absolute_path))
        assert isinstance(most, ValidationError)  # noqa: S101
        yield LintFinding(ERROR, "schema", point(*part.schema_steps, *most.absolute_path), most.message)
    if broken:
        return
    for place, pattern in list_patterns(part.schema):
        yield from find_pattern_problems(point(*part.schema_steps[:-1]) + point_to(f"$.{place}"), pattern)


def find_pattern_problems(place: str, pattern: str) -> Iterator[LintFinding]:
    """Yield that a pattern is none, or is not judged in linear time."""
    try:
        is_bounded = not is_linear(pattern)
    except InvalidPatternError as error:
        advice = "Of \\p{…} there are the general categories, the scripts, ASCII and White_Space."
        yield LintFinding(ERROR, "schema", place, str(error), advice if "\\p" in pattern.lower() else "")
        return
    if is_bounded:
        advice = "Say it without look-around, references back, flags and counts above 1,000."
        yield LintFinding(ERROR, "pattern", place, f"the pattern {pattern} takes more than linear time", advice)


# Source and columns


def find_source_problems(document: Document) -> Iterator[LintFinding]:
    """Yield attributes of the source that no closed schema has."""
    keys, parts = list_keys(document), list_parts(document)
    names = [((key,), "/source") for key in keys]
    names += [((name,), "/source/json_attributes") for name in list_json_attributes(document["source"])]
    for path, place in names:
        found = [list(find_closed_names(path, SchemaView(part.schema, keys), place, [])) for part in parts]
        if all(any(each.severity == ERROR for each in findings) for findings in found):
            yield from found[0]


def list_keys(document: Document) -> tuple[str, ...]:
    """Return the attributes of the key."""
    source = document["source"]
    return tuple(dict.fromkeys(key for key in (source["partition_key"], source.get("sort_key")) if key))


def find_columns(document: Document, part: TargetPart) -> Iterator[LintFinding]:
    """Yield what is wrong with each column by itself."""
    view = SchemaView(part.schema, list_keys(document))
    sources = [column["from"] for column in part.columns]
    for index, column in enumerate(part.columns):
        yield from find_column(column, point(*part.target_steps, "columns", index), view, sources)


def list_json_attributes(source: Document) -> list[str]:
    """Return the names of the attributes that hold JSON."""
    given = source.get("json_attributes", [])
    names = [each.get("name") if isinstance(each, dict) else each for each in given] if isinstance(given, list) else []
    return [name for name in names if isinstance(name, str)]


# The mapping as a whole


def find_names(part: TargetPart) -> Iterator[LintFinding]:
    """Yield columns that share a name, which has no case in MySQL, or have one of this project's own."""
    seen: set[str] = set()
    for index, column in enumerate(part.columns):
        place, folded = point(*part.target_steps, "columns", index, "name"), column["name"].lower()
        if folded in seen:
            yield LintFinding(ERROR, "column", place, f"another column is named {column['name']}", "Rename one.")
        if folded in SYSTEM_COLUMNS:
            message = f"{column['name']} is a column of this project's own"
            yield LintFinding(ERROR, "column", place, message, "Choose another name.")
        seen.add(folded)


def mend_columns(document: Document) -> Document:
    """Return a copy in which columns that were found to be wrong are others, so that the rest is looked at too."""
    mended: Document = copy.deepcopy(document)
    for part in list_parts(mended):
        seen = set(SYSTEM_COLUMNS)
        for index, column in enumerate(part.columns):
            if column["name"].lower() in seen:
                column["name"] = f"c{index}"
            seen.add(column["name"].lower())
            if not is_buildable(column):
                plain = {"from": column["from"] if as_name(column["from"]) else CHANGED_AT_MS, "type": "BIGINT"}
                part.columns[index] = {"name": column["name"], **plain}
    return mended


def is_buildable(column: Document) -> bool:
    """Tell whether the loader takes a column's type and expression."""
    try:
        parse_type(column["type"], digits=column.get("digits"), epoch=column.get("epoch"))
        return column["from"] == CHANGED_AT_MS or compile_expression(column["from"]) is not None
    except ValueError:
        return False


def as_name(source: str) -> bool:
    """Tell whether an expression is no more than the name of an attribute, which a key's column has to be."""
    try:
        tree: Any = jmespath.compile(source).parsed
    except ValueError:
        return False
    return bool(tree["type"] == "field")


def find_whole(name: str, document: Document) -> Iterator[LintFinding]:
    """Yield what the loader says of a document whose parts hold, and InnoDB of its rows."""
    try:
        targets = build_mapping(name, document).targets
    except InvalidMappingError as error:
        yield explain_refusal(error)
        return
    for target in targets:
        yield from find_wide_rows(target)
        yield from find_unbounded_work(target)


def find_wide_rows(target: Mapping) -> Iterator[LintFinding]:
    """Yield where InnoDB would refuse the rows of a target."""
    try:
        check_page(target)
    except InvalidMappingError as error:
        yield replace(explain_refusal(error), place=point_to(f"{target.place}.columns"))


def explain_refusal(error: InvalidMappingError) -> LintFinding:
    """Return the finding that the loader's refusal is."""
    place, problem = read_problem(error)
    return LintFinding(ERROR, "mapping", place, problem.rstrip("."))


def find_unbounded_work(target: Mapping) -> Iterator[LintFinding]:
    """Yield what of a target keeps its records from being mapped in the function's own process."""
    for part in find_costly(target):
        message = f"{part.keyword} {part.why}: records are mapped in a process of their own, which is slower"
        remedy = "Say it so that one look at each value is enough, or leave it as it is."
        yield LintFinding(DOUBTFUL, "budget", point_to(part.place), message, remedy)


def find_key_problems(document: Document, key_types: dict[str, str]) -> Iterator[LintFinding]:
    """Yield where the mapping's key is not the table's, by name or by type."""
    names = list_keys(document)
    if names != tuple(key_types):
        message = f"the mapping's key is {' + '.join(names)}, and the table's {' + '.join(key_types)}"
        yield LintFinding(ERROR, "key", "/source", message, "Name the table's own key.")
        return
    for part in list_parts(document):
        yield from find_wrong_keys(part, key_types)


def find_wrong_keys(part: TargetPart, key_types: dict[str, str]) -> Iterator[LintFinding]:
    """Yield key columns, and schemas of keys, that do not take the keys of the table."""
    schema = SchemaView(part.schema)
    for index, column in enumerate(part.columns):
        name = column["from"].strip('"')
        if name not in key_types:
            continue
        what, kinds = TABLE_KINDS[key_types[name]]
        place = point(*part.target_steps, "columns", index, "type")
        kind = re.match(r"[A-Z]*", column["type"])
        if kind and kind[0] not in kinds:
            message = f"the table's key {name} is {what}, which a {column['type']} does not take"
            yield LintFinding(ERROR, "key", place, message, f"Make it one of {', '.join(sorted(kinds))}.")
        types = schema.types_at((name,))
        wanted = NUMERIC_TYPES if key_types[name] == "N" else frozenset({"string"})
        if not types & wanted:
            allowed = " or ".join(sorted(types - {NOTHING})) or "nothing"
            message = f"the table's key {name} is {what}, and the schema allows {allowed}: every item is refused"
            yield LintFinding(
                ERROR, "key", point(*part.schema_steps, "properties", name), message, "Have the schema say what it is."
            )
