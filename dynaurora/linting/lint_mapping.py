"""Linting a mapping's file: the loader's own checks, all of them, and what only a reader of both halves would notice.

The loader refuses what does not hold, at the first thing that is wrong. Here everything is told, and besides: columns
that their attribute's schema never fits, names that a closed schema cannot have, expressions that are always NULL.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import jmespath
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from dynaurora.errors import InvalidMappingError
from dynaurora.linting.findings import DOUBTFUL, ERROR, LintFinding, point, point_to, read_problem, sort_findings
from dynaurora.linting.value_types import NOTHING, WHATEVER, ExpressionTypes, SchemaView, Types, as_path
from dynaurora.mappings.columns import parse_type
from dynaurora.mappings.expressions import InvalidExpressionError, compile_expression
from dynaurora.mappings.files import SCHEMA_FILE
from dynaurora.mappings.mapping import CHANGED_AT_MS, build_mapping
from dynaurora.mappings.misfits import Misfit
from dynaurora.mappings.page_sizes import check_page
from dynaurora.mappings.patterns import find_unbounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.mappings.columns import ColumnType

    Document = dict[str, Any]

CLOSE: Final = 0.75
"""How alike two names are that one may stand for the other (difflib's ratio)."""
NUMERIC_TYPES: Final[Types] = frozenset({"number", "integer"})
TEXTUAL: Final[Types] = frozenset({"string", *NUMERIC_TYPES})
TAKEN: Final[dict[str, Types]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT"), NUMERIC_TYPES),
    **dict.fromkeys(("DECIMAL", "DOUBLE"), NUMERIC_TYPES),
    **dict.fromkeys(("CHAR", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"), TEXTUAL),
    **dict.fromkeys(("VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"), frozenset({"string"})),
    **dict.fromkeys(("DATE", "DATETIME", "TIMESTAMP", "TIME", "ENUM"), frozenset({"string"})),
    "BOOLEAN": frozenset({"boolean"}),
}
"""The JSON types that a column of a kind takes; of one that is not here, any."""
EPOCHS: Final[Types] = TEXTUAL
WHOLE_KINDS: Final = frozenset({"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT"})
TEXT_LENGTH: Final = re.compile(r"(?:CHAR|VARCHAR)\(([0-9]+)\)")
PLAIN_WORD: Final = re.compile(r"[^()\[\]{}|&\"'`*@?!<>=,\s][^()\[\]{}|&\"'`*@?!<>=,]*")
"""Text that may be the name of an attribute, and is no expression."""
TABLE_KINDS: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "S": ("text", frozenset({"CHAR", "VARCHAR", "VARBINARY"})),
    "N": ("a number", frozenset({*WHOLE_KINDS, "DECIMAL", "CHAR", "VARCHAR"})),
    "B": ("binary", frozenset({"VARBINARY"})),
}
"""Of each type descriptor of a key: what it is, and the kinds of columns that take it."""


def lint_mapping(name: str, document: Any, key_types: dict[str, str] | None = None) -> list[LintFinding]:
    """Return all that is wrong or doubtful; `key_types` are the type descriptors of the table's keys, where known."""
    shape = list(find_shape(document))
    if any(each.severity == ERROR for each in shape) and not is_readable(document):
        return sort_findings(shape)
    found = [*shape, *find_schema_problems(document), *find_columns(document)]
    if not any(each.severity == ERROR for each in found):
        found += find_whole(name, document)
    if key_types is not None:
        found += find_key_problems(document, key_types)
    return sort_findings(found)


def is_readable(document: Any) -> bool:
    """Tell whether the parts of a document that are looked at one by one are there, whatever else is wrong."""
    try:
        columns = document["target"]["columns"]
        texts = [each[name] for each in columns for name in ("name", "type", "from")]
        keys = [document["source"]["partition_key"], document["source"].get("sort_key", "")]
    except (KeyError, TypeError, AttributeError):
        return False
    is_schema = isinstance(document.get("schema"), dict | bool)
    return is_schema and all(isinstance(text, str) for text in (*texts, *keys))


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
                    ERROR, "name", point(*place, extra), f"{extra!r} is not known here", suggest(extra, known)
                )
            continue
        yield LintFinding(ERROR, "shape", point(*place), error.message)


def suggest(name: str, known: list[str], otherwise: str = "") -> str:
    """Return which of the known names may be meant."""
    close = get_close_matches(name, known, 1, CLOSE)
    if close:
        return f"Did you mean {close[0]!r}?"
    return otherwise or f"Known are: {', '.join(known)}."


# The schema of items


def find_schema_problems(document: Document) -> Iterator[LintFinding]:
    """Yield what is wrong with the schema of items: as a schema, and where an item could make it slow."""
    schema = document["schema"]
    validator = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    broken = False
    for error in validator.iter_errors(schema):
        broken = True
        most: Any = error if not error.context else min(error.context, key=lambda each: -len(each.absolute_path))
        assert isinstance(most, ValidationError)  # noqa: S101
        yield LintFinding(ERROR, "schema", point("schema", *most.absolute_path), most.message)
    if broken:
        return
    for place, pattern in find_unbounded(schema):
        yield LintFinding(
            ERROR,
            "pattern",
            point_to(f"$.{place}"),
            f"the pattern {pattern} takes more than linear time",
            "Say it without look-around, references back, flags and counts above 1,000.",
        )


# Columns


def find_columns(document: Document) -> Iterator[LintFinding]:
    """Yield what is wrong with each column by itself."""
    source = document["source"]
    keys = tuple(key for key in (source["partition_key"], source.get("sort_key")) if isinstance(key, str))
    view = SchemaView(document["schema"], keys)
    sources = [column["from"] for column in document["target"]["columns"]]
    for key in dict.fromkeys(keys):
        yield from find_closed_names((key,), view, "/source", sources)
    for name in list_json_attributes(source):
        yield from find_closed_names((name,), view, "/source/json_attributes", sources)
    for index, column in enumerate(document["target"]["columns"]):
        yield from find_column(column, point("target", "columns", index), view, sources)


def list_json_attributes(source: Document) -> list[str]:
    """Return the names of the attributes that hold JSON."""
    given = source.get("json_attributes", [])
    names = [each.get("name") if isinstance(each, dict) else each for each in given] if isinstance(given, list) else []
    return [name for name in names if isinstance(name, str)]


def find_column(column: Document, place: str, view: SchemaView, sources: list[str]) -> Iterator[LintFinding]:
    """Yield what is wrong with one column."""
    type_: ColumnType | None = None
    try:
        type_ = parse_type(column["type"], digits=column.get("digits"), epoch=column.get("epoch"))
    except ValueError as error:
        yield LintFinding(ERROR, "type", f"{place}/type", str(error))
    source = column["from"]
    if source.startswith("@") and not source.startswith("@."):
        if source != CHANGED_AT_MS:
            yield LintFinding(ERROR, "from", f"{place}/from", f"{source!r} is not known", f"There is {CHANGED_AT_MS}.")
        elif type_ is not None:
            yield from compare_with_schema(column, place, frozenset({"integer"}), type_)
        return
    try:
        compile_expression(source)
    except InvalidExpressionError as error:
        yield LintFinding(ERROR, "from", f"{place}/from", str(error).splitlines()[0], quote_advice(source))
        return
    yield from find_values(column, place, view, sources, type_)


def quote_advice(source: str) -> str:
    """Return how the name of an attribute is written that is no expression as it stands."""
    if not PLAIN_WORD.fullmatch(source):
        return ""
    return (
        f'If that is the name of an attribute, quote it: "from": {json.dumps(json.dumps(source, ensure_ascii=False))}.'
    )


def find_values(
    column: Document, place: str, view: SchemaView, sources: list[str], type_: ColumnType | None
) -> Iterator[LintFinding]:
    """Yield what is wrong with the values of an expression that holds."""
    found = ExpressionTypes(view)
    tree: Any = jmespath.compile(column["from"]).parsed
    types = found.find(tree)
    where = f"{place}/from"
    names = [each for path in dict.fromkeys(found.paths) for each in find_closed_names(path, view, where, sources)]
    yield from names
    for function, always, given in dict.fromkeys(found.fails):
        if always and not names:
            yield LintFinding(ERROR, "expression", f"{place}/from", f"{function}() is given {given}, and always fails")
        elif not always:
            message = f"{function}() fails where what it is given is absent or null, and the item is refused"
            yield LintFinding(
                DOUBTFUL, "expression", f"{place}/from", message, "Have the schema require it, or use `||`."
            )
    if any(each.severity == ERROR for each in names) or any(always for _, always, _ in found.fails):
        return
    if types == {NOTHING}:
        yield LintFinding(ERROR, "null", f"{place}/from", "it can never have a value", advise_null(column["from"]))
    elif type_ is not None:
        declared = view.types_of(view.at(found.paths[0])) != WHATEVER if as_path(tree) else False
        wrong = list(compare_with_schema(column, place, types, type_, is_declared=declared))
        yield from wrong
        if declared and not wrong:
            yield from find_limits(column, place, view.resolve(view.at(found.paths[0])), type_)


def advise_null(source: str) -> str:
    """Return what to do about an expression that is always null."""
    if re.search(r"\[-?[0-9]*:", source):
        return "A slice is of lists, and this is text."
    return "The schema says that nothing is there."


def compare_with_schema(
    column: Document, place: str, types: Types, type_: ColumnType, *, is_declared: bool = False
) -> Iterator[LintFinding]:
    """Yield where the values can only be, or as the schema declares may be, of types that the column refuses."""
    taken = EPOCHS if column.get("epoch") else TAKEN.get(type_.kind, WHATEVER)
    given = types - {NOTHING}
    words = " or ".join(sorted(given))
    if given and not given & taken:
        message = f"the column takes {name_taken(taken)}, and this gives {words}: every item that has it is refused"
        yield LintFinding(ERROR, "type", f"{place}/type", message, advise_type(column, given, type_))
    elif is_declared and not given <= taken:
        others = " or ".join(sorted(given - taken))
        message = f"the schema also allows {others}, which the column refuses"
        yield LintFinding(DOUBTFUL, "type", f"{place}/type", message, "Narrow the schema, or make the column JSON.")
    elif is_declared and type_.kind in WHOLE_KINDS and "number" in given:
        message = "the schema allows fractions, which the column refuses"
        yield LintFinding(
            DOUBTFUL, "type", f"{place}/type", message, "Make it DECIMAL or DOUBLE, or the schema integer."
        )


def name_taken(taken: Types) -> str:
    """Return the types that a column takes, in words."""
    return " or ".join(sorted(taken - {"integer"} if "number" in taken else taken))


def advise_type(column: Document, given: Types, type_: ColumnType) -> str:
    """Return what would fit."""
    if given <= NUMERIC_TYPES and type_.kind in {"DATE", "DATETIME", "TIMESTAMP"}:
        return 'Give the column its unit, as "epoch": "s" or "ms", or make it BIGINT.'
    if given == {"string"} and TAKEN.get(type_.kind) == NUMERIC_TYPES:
        return f"Take to_number({column['from']}), or make it VARCHAR."
    return "Make it JSON, or another type that takes it." if given & {"array", "object"} else "Make it another type."


def find_limits(column: Document, place: str, schema: Any, type_: ColumnType) -> Iterator[LintFinding]:
    """Yield where the schema takes values of the right type that the column has no room for."""
    if not isinstance(schema, dict):
        return
    length, most = TEXT_LENGTH.fullmatch(type_.sql), schema.get("maxLength")
    if length and isinstance(most, int) and most > int(length[1]):
        message = f"the schema takes text of {most:,} characters, and the column {int(length[1]):,}"
        yield LintFinding(
            DOUBTFUL, "length", f"{place}/type", message, "Make the column wider, or the schema narrower."
        )
    for value in [schema["const"]] if "const" in schema else schema.get("enum", []):
        if value is not None and not isinstance(value, dict | list) and "epoch" not in column:
            try:
                type_.encode(value)
            except Misfit as error:
                message = f"of the values that the schema lists, {value!r} {error}"
                yield LintFinding(
                    DOUBTFUL, "value", f"{place}/type", message, "Make the column wider, or of another type."
                )


def find_closed_names(path: tuple[str, ...], view: SchemaView, place: str, sources: list[str]) -> Iterator[LintFinding]:
    """Yield where a name on a path cannot be there, as a closed schema has it, or may be another one misspelt."""
    schema: Any = view.root
    for depth, name in enumerate(path):
        outer = view.resolve(schema)
        properties = outer.get("properties", {}) if isinstance(outer, dict) else {}
        known = list(properties) if isinstance(properties, dict) else []
        schema, _, can_be = view.member(outer, name)
        dotted = ".".join(path[depth:])
        if name not in known and depth < len(path) - 1 and dotted in known:
            quoted = json.dumps(json.dumps(dotted, ensure_ascii=False))
            message = (
                f"the schema has an attribute named {dotted!r}, and this looks for {path[depth + 1]!r} in {name!r}"
            )
            yield LintFinding(ERROR, "name", place, message, f'Quote it: "from": {quoted}.')
            return
        if not can_be:
            message = f"the schema is closed and has no {name!r}, so it is never there"
            yield LintFinding(ERROR, "name", place, message, suggest(name, known, "Add it to the schema's properties."))
            return
        close = get_close_matches(name, known, 1, CLOSE) if name not in known and name not in view.keys else []
        if close and not any(close[0] in source for source in sources) and close[0] not in view.keys:
            message = f"the schema has no {name!r}, and no column takes its {close[0]!r}"
            yield LintFinding(DOUBTFUL, "name", place, message, f"Did you mean {close[0]!r}?")
            return
        if name not in known:
            return


# The mapping as a whole


def find_whole(name: str, document: Document) -> Iterator[LintFinding]:
    """Yield what the loader says of a document whose parts hold, and InnoDB of its rows."""
    try:
        check_page(build_mapping(name, document))
    except InvalidMappingError as error:
        place, problem = read_problem(error)
        yield LintFinding(ERROR, "mapping", place, problem.rstrip("."))


def find_key_problems(document: Document, key_types: dict[str, str]) -> Iterator[LintFinding]:
    """Yield where the mapping's key is not the table's, by name or by type."""
    source, schema = document["source"], SchemaView(document["schema"])
    names = [source["partition_key"], *([source["sort_key"]] if "sort_key" in source else [])]
    if names != list(key_types):
        message = f"the mapping's key is {' + '.join(names)}, and the table's {' + '.join(key_types)}"
        yield LintFinding(ERROR, "key", "/source", message, "Name the table's own key.")
        return
    for index, column in enumerate(document["target"]["columns"]):
        name = column["from"].strip('"')
        if name not in key_types:
            continue
        what, kinds = TABLE_KINDS[key_types[name]]
        place = point("target", "columns", index, "type")
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
                ERROR, "key", point("schema", "properties", name), message, "Have the schema say what it is."
            )
