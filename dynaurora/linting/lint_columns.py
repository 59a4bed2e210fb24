"""Columns of a mapping held against the schema of the items that they are filled from.

Only what the schema plainly says counts: where it is silent, or speaks by `oneOf` and the like, there is no finding.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import jmespath

from dynaurora.linting.findings import DOUBTFUL, ERROR, LintFinding
from dynaurora.linting.value_types import NOTHING, WHATEVER, ExpressionTypes, SchemaView, Types, as_path
from dynaurora.mappings.columns import parse_type
from dynaurora.mappings.expressions import InvalidExpressionError, compile_expression
from dynaurora.mappings.misfits import Misfit
from dynaurora.mappings.target_columns import CHANGED_AT_MS

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
    "YEAR": TEXTUAL,
    "BOOLEAN": frozenset({"boolean"}),
}
"""The JSON types that a column of a kind takes; of one that is not here, any."""
EPOCHS: Final[Types] = TEXTUAL
WHOLE_KINDS: Final = frozenset({"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT"})
TEXT_LENGTH: Final = re.compile(r"(?:CHAR|VARCHAR)\(([0-9]+)\)")
PLAIN_WORD: Final = re.compile(r"[^()\[\]{}|&\"'`*@?!<>=,\s][^()\[\]{}|&\"'`*@?!<>=,]*")
"""Text that may be the name of an attribute, and is no expression."""


def suggest(name: str, known: list[str], otherwise: str = "") -> str:
    """Return which of the known names may be meant."""
    close = get_close_matches(name, known, 1, CLOSE)
    if close:
        return f"Did you mean {close[0]!r}?"
    return otherwise or f"Known are: {', '.join(known)}."


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
