"""Column code: where a column's value is among what is decoded of an item, and the code that writes its field."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw

from dynaurora.dynamodb.attributes import NUMBER, exact_number, plain_value
from dynaurora.mappings import csv_format
from dynaurora.mappings.compiled.code_names import Names
from dynaurora.mappings.compiled.fields import (
    REFUSALS,
    Code,
    Unsure,
    boolean_field,
    bytes_field,
    digits_field,
    document_field,
    encoded_field,
    integer_field,
    parse_embedded,
    parse_encoded,
    text_field,
    time_field,
)
from dynaurora.mappings.compiled.json_values import encode_documents, write_plain
from dynaurora.mappings.compiled.plans import is_searched, taken_by
from dynaurora.mappings.compiled.row_text import FIELD_END, NULL_TEXT
from dynaurora.mappings.compiled.schemas import FIRST
from dynaurora.mappings.compiled.shapes import make_struct
from dynaurora.mappings.misfits import Misfit
from dynaurora.mappings.paths import find_untaken, undeclared_paths
from dynaurora.mappings.rows import MISSING, allowed_types, find_by_expression, find_by_names
from dynaurora.mappings.target_columns import CHANGED_AT_MS, UNMAPPED

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.mappings.compiled.plans import FieldSource, RowPlan
    from dynaurora.mappings.paths import Tree
    from dynaurora.mappings.target_columns import Column

WRITERS: dict[str, Callable[[Column, str, int], Code]] = {
    "text": text_field,
    "string": text_field,
    "digits": digits_field,
    "bytes": bytes_field,
    "boolean": boolean_field,
    "integer": integer_field,
}


def write_left(name: str, taken: Tree | None, value: Any) -> Any:
    """Return the JSON of what columns leave of an attribute; UNSET where nothing is."""
    rest = find_untaken({name: value}, {} if taken is None else {name: taken})
    return write_plain(rest[name]) if rest else UNSET


def escape_document(text: str) -> str:
    """Return the JSON of a field, escaped; NULL where it is that."""
    return csv_format.NULL if text == NULL_TEXT else csv_format.escape(text)


def indent(lines: list[str]) -> list[str]:
    """Return lines of code one level deeper."""
    return [f"    {line}" for line in lines]


class ColumnWriter:
    """Writes the code of a plan's columns."""

    def __init__(self, plan: RowPlan, *, escaped: bool, changed_at_ms: int | None = None) -> None:
        self.plan = plan
        self.escaped = escaped
        self.changed_at_ms = changed_at_ms
        """When everything was changed, where that is one time; else the code has a variable of that name."""
        self.numbers = {name: number for number, name in enumerate(plan.attributes)}
        self.names = Names(
            FIRST=FIRST,
            MISSING=MISSING,
            NULL=csv_format.NULL if escaped else NULL_TEXT,
            NULL_DOCUMENT=Raw(NULL_TEXT),
            escape=csv_format.escape,
            escape_document=escape_document,
            NUMBER=NUMBER.fullmatch,
            REFUSALS=REFUSALS,
            Raw=Raw,
            UNSET=UNSET,
            Unsure=Unsure,
            encode_documents=encode_documents,
            exact_number=exact_number,
            join=("," if escaped else FIELD_END).join,
            parse_embedded=parse_embedded,
            parse_encoded=parse_encoded,
            plain_value=plain_value,
            write_plain=write_plain,
        )
        self.documents: list[str] = []
        """The expressions of a row's JSON values."""
        self.variables: dict[int, tuple[str, bool]] = {}
        """Where the value of each shape is, and whether it is always there."""

    def _escape(self, column: Column, field: str) -> str:
        """Return the expression of a column's field as it stands in a row; of a JSON column, of its JSON value."""
        return f"escape({field})" if self.escaped and column.type.kind != "JSON" else field

    def _place(self, column: Column, field: str) -> str:
        """Return the expression of what stands in a row for a column, by that of its field."""
        if column.type.kind != "JSON":
            return field
        self.documents.append(field)
        text = f"j{len(self.documents)}"
        return f"escape_document({text})" if self.escaped else text

    def _document_texts(self) -> list[str]:
        """Return the code that writes the JSON of all values of a row by one call: a line each."""
        if not self.documents:
            return []
        texts = ", ".join(f"j{number}" for number in range(1, len(self.documents) + 1))
        return [f"{texts}, _ = encode_documents(({', '.join(self.documents)},)).decode().split('\\n')"]

    def _column_code(self, number: int, source: FieldSource) -> tuple[list[str], str]:
        """Return the code of a column: statements, and the expression of what stands for it in the row."""
        column = source.column
        if column.source == CHANGED_AT_MS:
            return self._changed_at(number, column)
        if column.source == UNMAPPED:
            return self._remaining(number, column)
        if source.shape is not None:
            variable, always = self.variables.get(id(source.shape), ("", False))
            if source.rest and (source.shape.kind == "any" or not variable):
                return self._found(number, column, variable, source.rest)
            if source.rest:  # nothing can be inside of it
                lines, field = self._nothing(number, column)
                return [f"if {variable} is not None: raise Unsure", *lines], field
            if source.shape.kind in WRITERS:
                return self._nullable(number, column, WRITERS[source.shape.kind], variable, always=always)
            if source.shape.kind == "null":
                return self._nothing(number, column)
            return self._plain(number, column, variable)
        attribute = self.plan.attributes[source.attributes[0]]
        if is_searched(column):
            return self._searched(number, source)
        variable = f"v{self.numbers[attribute.name]}"
        if attribute.how == "document":
            always = attribute.required
            return self._nullable(number, column, document_field, variable, always=always, absent="UNSET")
        if attribute.how == "whole":
            rest = (column.path or (attribute.name,))[1:]
            return self._found(number, column, variable, rest) if rest else self._plain(number, column, variable)
        always = attribute.required and not attribute.nullable
        return self._nullable(number, column, WRITERS[attribute.how], variable, always=always)

    def _changed_at(self, number: int, column: Column) -> tuple[list[str], str]:
        if self.changed_at_ms is None:
            code = time_field(column, "changed_at_ms", number)
            self.names |= code.names
            return code.lines, self._place(column, self._escape(column, code.field))
        try:
            encoded = column.type.encode(self.changed_at_ms)
        except Misfit:
            return ["raise Unsure"], "NULL"
        self.names[f"encoded{number}"] = Raw(encoded) if column.type.kind == "JSON" else encoded
        return [], self._place(column, self._escape(column, f"encoded{number}"))

    def _nullable(
        self,
        number: int,
        column: Column,
        write: Callable[[Column, str, int], Code],
        variable: str,
        *,
        always: bool,
        absent: str = "None",
    ) -> tuple[list[str], str]:
        code = write(column, variable, number)
        self.names |= code.names
        if always:
            return code.lines, self._place(column, self._escape(column, code.field))
        field = f"c{number}"
        lines = [f"if {variable} is {absent}:", *indent(self._absent_lines(number, column)), "else:"]
        lines += indent([*code.lines, f"{field} = {self._escape(column, code.field)}"])
        return lines, self._place(column, field)

    def _nothing(self, number: int, column: Column) -> tuple[list[str], str]:
        """Return the code of a column whose value is never there."""
        return self._absent_lines(number, column), self._place(column, f"c{number}")

    def _absent_lines(self, number: int, column: Column) -> list[str]:
        """Return the code that writes what stands for a value that is not there."""
        is_json = column.type.kind == "JSON"
        if column.default is None:
            return [f"c{number} = {'NULL_DOCUMENT' if is_json else 'NULL'}", "missing += 1"]
        default = csv_format.escape(column.default) if self.escaped and not is_json else column.default
        self.names[f"default{number}"] = Raw(default) if is_json else default
        return [f"c{number} = default{number}"]

    def _plain(self, number: int, column: Column, variable: str, absent: str = "UNSET") -> tuple[list[str], str]:
        code, field = encoded_field(column, variable, number), f"c{number}"
        self.names |= code.names
        either = "" if column.type.kind == "JSON" or column.default is not None else f" or {variable} is None"
        lines = [f"if {variable} is {absent}{either}:", *indent(self._absent_lines(number, column))]
        if not either and column.type.kind != "JSON":
            lines += [f"elif {variable} is None:", f"    {field} = NULL", "    missing += 1"]
        return [*lines, f"else: {field} = {self._escape(column, code.field)}"], self._place(column, field)

    def _found(self, number: int, column: Column, variable: str, rest: tuple[str, ...]) -> tuple[list[str], str]:
        """Return the code of a column that is found by names inside of a plain value."""
        if not variable:  # of an object that cannot have it
            return self._nothing(number, column)
        path = column.path or ()
        allowed = allowed_types(self.plan.mapping.schema, path)
        self.names[f"find{number}"] = find_by_names(path, allowed, len(path) - len(rest))
        lines, field = self._plain(number, column, f"x{number}", "MISSING")
        find = f"x{number} = MISSING if {variable} is UNSET else find{number}({variable})"
        return [find, *lines], field

    def _searched(self, number: int, source: FieldSource) -> tuple[list[str], str]:
        """Return the code of a column that is found by an expression over some attributes."""
        self.names[f"find{number}"] = find_by_expression(source.column.source)
        lines = [*self._partial("part", source.attributes), f"x{number} = find{number}(part)"]
        more, field = self._plain(number, source.column, f"x{number}", "MISSING")
        return lines + more, field

    def _partial(self, variable: str, attributes: tuple[str, ...]) -> list[str]:
        lines = [f"{variable} = {{}}"]
        for name in attributes:
            number = self.numbers[name]
            self.names[f"name{number}"] = name
            lines.append(f"if v{number} is not UNSET: {variable}[name{number}] = v{number}")
        return lines

    def _unmapped_lines(self) -> list[str]:
        """Return the code that looks for what no column takes and no schema names, where that refuses an item."""
        mapping, whole = self.plan.mapping, self._whole_names()
        if mapping.unmapped != "reject" or not whole:
            return []
        taken = taken_by(self.plan.mapping)

        def unknown(part: dict[str, Any]) -> bool:
            return next(undeclared_paths(find_untaken(part, taken), mapping.schema), None) is not None

        self.names["unknown"] = unknown
        return [*self._partial("part", whole), "if unknown(part): raise Unsure"]

    def _remaining(self, number: int, column: Column) -> tuple[list[str], str]:
        """Return the code of the column that takes what no other column does: a struct of its members' values."""
        taken, lines, values = taken_by(self.plan.mapping), list[str](), dict[str, str]()
        for name, attribute in sorted(self.plan.attributes.items()):
            value = values[name] = f"v{self.numbers[name]}"
            if taken.get(name) == {}:
                del values[name]
            elif attribute.how != "document":
                left = self.names.give(partial(write_left, name, taken.get(name)))
                lines.append(f"{value} = {value} if {value} is UNSET else {left}({value})")
        rest = self.names.give(make_struct((name, value, Any, msgspec.NODEFAULT) for name, value in values.items()))
        is_empty = " and ".join(f"{value} is UNSET" for value in values.values()) or "True"
        lines += [f"if {is_empty}:", *indent(self._absent_lines(number, column))]
        written = self._escape(column, f"{rest}({', '.join(values.values())})")
        return [*lines, f"else: c{number} = {written}"], self._place(column, f"c{number}")

    def _whole_names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.plan.attributes.values() if each.how == "whole")
