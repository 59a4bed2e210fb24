"""The compiled mapper: for a mapping's plan, Python code that makes rows of the bytes that items come as.

The code is made when a mapping is loaded: straight-line, one statement for each thing that has to be seen to, no loops
over columns. It writes only rows that the plain modules would write; a record that it is not sure of is handed to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from dynaurora.dynamodb.attributes import NUMBER, exact_number, plain_value
from dynaurora.dynamodb.versions import MAX_VERSION
from dynaurora.mappings import csv_format
from dynaurora.mappings.compiled import attribute_plans as planned
from dynaurora.mappings.compiled.documents import Names
from dynaurora.mappings.compiled.fields import (
    REFUSALS,
    Code,
    Unsure,
    boolean_field,
    bytes_field,
    digits_field,
    encoded_field,
    integer_field,
    parse_embedded,
    text_field,
    time_field,
    written_field,
)
from dynaurora.mappings.compiled.plans import is_searched, taken_by
from dynaurora.mappings.compiled.row_text import NULL_TEXT
from dynaurora.mappings.compiled.schemas import FIRST, MAX_COMPILED_DEPTH
from dynaurora.mappings.compiled.shapes import has_any, make_struct, make_type
from dynaurora.mappings.compiled.unmapped_lines import Finds
from dynaurora.mappings.mapping import CHANGED_AT_MS, UNMAPPED
from dynaurora.mappings.misfits import Misfit
from dynaurora.mappings.paths import find_untaken, undeclared_paths
from dynaurora.mappings.rows import MISSING, find_by_expression, find_by_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.mappings.compiled.attribute_plans import Attribute
    from dynaurora.mappings.compiled.documents import Node
    from dynaurora.mappings.compiled.plans import FieldSource, RowPlan
    from dynaurora.mappings.compiled.shapes import Member, Shape
    from dynaurora.mappings.mapping import Column


WRITERS: dict[str, Callable[[Column, str, int], Code]] = {
    "text": text_field,
    "string": text_field,
    "digits": digits_field,
    "bytes": bytes_field,
    "boolean": boolean_field,
    "integer": integer_field,
}


def compile_items(plan: RowPlan, version: int, changed_at_ms: int, *, escaped: bool) -> Any:
    """Return what maps lines of an export: items of one version, changed at one time.

    Its rows are marked for `finish_rows`, or `escaped`, which is slower.
    """
    writer = _Writer(plan, escaped=escaped, changed_at_ms=changed_at_ms)
    item = writer.item_type()
    writer.names["decode"] = _decoder(make_struct([("Item", "Item", item, msgspec.NODEFAULT)]))
    body = ["item = decode(source).Item", *writer.item_lines("0", str(version))]
    return writer.compile(body)


def compile_changes(plan: RowPlan, *, escaped: bool) -> Any:
    """Return what maps changes as `dynaurora.dynamodb.changes` encodes them; `escaped` as for `compile_items`."""
    writer = _Writer(plan, escaped=escaped)
    item, keys = writer.item_type(), writer.keys_type()
    members = [
        ("Version", Annotated[str, Meta(max_length=len(str(MAX_VERSION)))]),
        ("ChangedAtMs", int),
        ("Keys", keys),
    ]
    fields = [(name, name, kind, msgspec.NODEFAULT) for name, kind in members]
    writer.names["decode"] = _decoder(make_struct([*fields, ("NewImage", "NewImage", item, None)]))
    body = [
        "change = decode(source)",
        "version = change.Version",
        "if not version.isdecimal() or not version.isascii() or version[0] == '0': raise Unsure",
        "item = change.NewImage",
        "if item is None:",
        *_indent(writer.delete_lines("1", "{version}")),
        "    continue",
        *writer.same_key_lines(),
        "changed_at_ms = change.ChangedAtMs",
        *writer.item_lines("0", "{version}"),
    ]
    return writer.compile(body)


def _decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind, float_hook=exact_number).decode


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


class _Writer:
    """Writes the code of one plan."""

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
            escape=csv_format.escape,
            NUMBER=NUMBER.fullmatch,
            REFUSALS=REFUSALS,
            UNSET=UNSET,
            Unsure=Unsure,
            exact_number=exact_number,
            parse_embedded=parse_embedded,
            plain_value=plain_value,
        )
        self.finds = Finds(plan.mapping, self.names)
        self.variables: dict[int, tuple[str, bool]] = {}
        """Where the value of each shape is, and whether it is always there."""

    def compile(self, body: list[str]) -> Any:
        """Return the function that runs a body for each source.

        From a list of bytes, and what returns the text of a row that is mapped plainly, it makes a list of rows,
        counts the NULLs in those of its own, and what of their items no column takes: of each of its `paths`, and in a
        list of further ones.
        """
        parameters = ", ".join(f"{name}={name}" for name in sorted(self.names))
        lines = [
            f"def rows(sources, exactly, {parameters}):",
            "    made, nulls = [], 0",
            f"    {self.finds.start}",
            "    add = made.append",
            "    for index, source in enumerate(sources):",
            "        try:",
            "            missing = 0",
            *(f"            {line}" for line in body),
            "        except REFUSALS:",
            "            add(exactly(index))",
            f"    return made, nulls, {self.finds.counts}, seen",
        ]
        namespace = dict(self.names)
        exec(compile("\n".join(lines), f"<{self.plan.mapping.name}>", "exec"), namespace)  # noqa: S102 (from a checked mapping; names in it are quoted)
        namespace["rows"].paths = self.finds.paths
        return namespace["rows"]

    def _row_lines(self, fields: list[str]) -> list[str]:
        field_end, row_end = (",", r"\n") if self.escaped else (r"\x1f", r"\x1e")
        return [f'add(f"{field_end.join(fields)}{row_end}")', "nulls += missing"]

    def _escape(self, field: str) -> str:
        """Return the expression of a field as it stands in a row."""
        return f"escape(str({field}))" if self.escaped else field

    # Types

    def item_type(self) -> Any:
        return self._struct(list(self.plan.attributes.values()))

    def keys_type(self) -> Any:
        return self._struct([self.plan.attributes[name] for name in self.plan.mapping.key_attributes])

    def _struct(self, attributes: list[Attribute]) -> Any:
        return make_struct(
            (each.name, f"a{self.numbers[each.name]}", planned.attribute_type(each), planned.default_of_attribute(each))
            for each in attributes
        )

    # Items

    def item_lines(self, *prefix: str) -> list[str]:
        """Return the code that makes the row of `item`."""
        lines = [line for attribute in self.plan.attributes.values() for line in self._attribute_lines(attribute)]
        lines += self._unmapped_lines()
        fields = []
        for number, source in enumerate(self.plan.sources):
            before, field = self._column_code(number, source)
            lines += before
            fields.append(field)
        return [*lines, *self._row_lines([*prefix, *fields]), *self.finds.lines]

    def delete_lines(self, *prefix: str) -> list[str]:
        """Return the code that makes the row of `change`, a delete."""
        mapping = self.plan.mapping
        lines, fields = ["keys = change.Keys"], ["{NULL}"] * len(mapping.columns)
        for name, column in zip(mapping.key_attributes, mapping.key_columns, strict=True):
            attribute, number = self.plan.attributes[name], self.numbers[name]
            if attribute.how == "whole":
                return ["raise Unsure"]
            position = mapping.columns.index(column)
            code = WRITERS[attribute.how](column, f"k{number}", position)
            self.names |= code.names
            lines += [f"k{number} = keys.a{number}.value", *code.lines]
            fields[position] = f"{{{self._escape(code.field)}}}"
        lines.append(f"missing = {fields.count('{NULL}')}")
        return [*lines, *self._row_lines([*prefix, *fields])]

    def same_key_lines(self) -> list[str]:
        """Return the code that leaves a change whose key is spelled otherwise in its item to the plain modules."""
        lines = []
        for name in self.plan.mapping.key_attributes:
            attribute, number = self.plan.attributes[name], self.numbers[name]
            value = "" if attribute.how in {"whole", "document"} else ".value"
            lines.append(f"if change.Keys.a{number}{value} != item.a{number}{value}: raise Unsure")
        return lines

    # Attributes

    def _attribute_lines(self, attribute: Attribute) -> list[str]:
        number = self.numbers[attribute.name]
        if attribute.how == "whole":
            return self._whole_lines(attribute, number)
        if attribute.document is not None:
            return self._document_lines(attribute.document, number, required=attribute.required)
        value = f"v{number}"
        lines = self._value_lines(attribute, number, value)
        checks = self._embedded_lines(attribute, number) if attribute.shape else self._scalar_checks(attribute, number)
        if checks and not (attribute.required and not attribute.nullable) and not attribute.shape:
            checks = [f"if {value} is not None:", *_indent(checks)]
        return lines + checks

    def _value_lines(self, attribute: Attribute, number: int, value: str) -> list[str]:
        if attribute.nullable:
            lines = [
                f"t = item.a{number}",
                "if t.null is None:",
                f"    {value} = t.value",
                f"    if {value} is None: raise Unsure",
                f"elif t.null is True and t.value is None: {value} = None",
                "else: raise Unsure",
            ]
            return (
                lines
                if attribute.required
                else [lines[0], f"if t is None: {value} = None", "el" + lines[1], *lines[2:]]
            )
        if attribute.required:
            return [f"{value} = item.a{number}.value"]
        return [f"t = item.a{number}", f"{value} = None if t is None else t.value"]

    def _scalar_checks(self, attribute: Attribute, number: int) -> list[str]:
        lines, value = [], f"v{number}"
        if attribute.how == "digits":
            takers = [source for source in self.plan.sources if attribute.name in source.attributes]
            if not takers:
                lines.append(f"if not NUMBER({value}): raise Unsure")
            if attribute.whole_numbers:  # as a column or the next line writes it: nothing but digits
                lines.append(f"if '.' in {value} or 'e' in {value} or 'E' in {value}: raise Unsure")
        if attribute.choices is not None:
            self.names[f"choices{number}"] = attribute.choices
            lines.append(f"if {value} not in choices{number}: raise Unsure")
        if attribute.check is not None:
            self.names[f"check{number}"] = attribute.check
            number_of = "int" if attribute.whole_numbers else "exact_number"
            judged = f"{number_of}({value})" if attribute.how == "digits" else value
            lines.append(f"check{number}({judged}, (), FIRST)")
        return lines

    def _whole_lines(self, attribute: Attribute, number: int) -> list[str]:
        mapping, value = self.plan.mapping, f"v{number}"
        self.names[f"name{number}"] = attribute.name
        lines = [f"{value} = plain_value({value}, name{number})"]
        if attribute.name in mapping.json_attributes:
            lines.append(f"if type({value}) is str: {value} = parse_embedded({value}, name{number})")
        if attribute.name in mapping.key_attributes:
            lines.append(f"if {value} is None: raise Unsure")
        if attribute.check is not None:
            self.names[f"check{number}"] = attribute.check
            lines.append(f"check{number}({value}, (), FIRST)")
        self.finds.add_attribute(attribute.name, value, required=attribute.required)
        if not attribute.required:
            lines = [f"if {value} is not UNSET:", *_indent(lines)]
        return [f"{value} = item.a{number}", *lines]

    def _document_lines(self, document: Node, number: int, *, required: bool) -> list[str]:
        write = f"v{number} = {document.code('t', self.names)}"
        if required:
            return [f"t = item.a{number}", write]
        return [f"t = item.a{number}", f"if t is UNSET: v{number} = None", f"else: {write}"]

    # Embedded JSON

    def _embedded_lines(self, attribute: Attribute, number: int) -> list[str]:
        shape, value = attribute.shape, f"v{number}"
        assert shape is not None  # noqa: S101 (of embedded JSON)
        self.names[f"decode{number}"] = _decoder(make_type(shape))
        lines = []
        if has_any(shape):
            brackets = f"{value}.count('[') + {value}.count('{{')"
            lines.append(f"if len({value}) > {MAX_COMPILED_DEPTH} and {brackets} > {MAX_COMPILED_DEPTH}: raise Unsure")
        lines.append(f"p{number} = decode{number}({value})")
        certain = attribute.required and not shape.nullable
        self.finds.add_shape(shape, f"p{number}", (attribute.name,), certain=certain)
        if not attribute.required:
            lines = [f"p{number} = None", f"if {value} is not None:", *_indent(lines)]
        return lines + self._shape_lines(shape, f"p{number}", attribute.required and not shape.nullable)

    def _shape_lines(self, shape: Shape, place: str, certain: bool) -> list[str]:
        """Return the code that finds what columns and checks need of an object at a place."""
        lines = []
        for member in shape.members.values():
            if not self._is_wanted(member.shape):
                continue
            variable = f"{place}_{member.name}"
            absent = "UNSET" if member.shape.kind == "any" else "None"
            found = f"{place}.{member.name}"
            lines.append(f"{variable} = {found if certain else f'{absent} if {place} is None else {found}'}")
            always = certain and member.required and not member.shape.nullable
            self.variables[id(member.shape)] = variable, always
            lines += self._member_lines(member, variable, absent, always)
        return lines

    def _member_lines(self, member: Member, variable: str, absent: str, always: bool) -> list[str]:
        lines = self._shape_lines(member.shape, variable, always) if member.shape.kind == "object" else []
        if member.shape.check is not None:
            name = f"check_{variable}"
            self.names[name] = member.shape.check
            call = f"{name}({variable}, (), FIRST)"
            lines.append(call if always else f"if {variable} is not {absent}: {call}")
        return lines

    def _is_wanted(self, shape: Shape) -> bool:
        inner = [member.shape for member in shape.members.values()]
        is_taken = any(source.shape is shape for source in self.plan.sources)
        return is_taken or shape.check is not None or any(self._is_wanted(each) for each in inner)

    # Columns

    def _column_code(self, number: int, source: FieldSource) -> tuple[list[str], str]:
        """Return the code of a column: statements, and what stands for it in the row."""
        column = source.column
        if column.source == CHANGED_AT_MS:
            return self._changed_at(number, column)
        if column.source == UNMAPPED:
            return self._remaining(number, column)
        if source.shape is not None:
            variable, always = self.variables.get(id(source.shape), ("", False))
            if source.rest and source.shape.kind != "any":
                return ["missing += 1"], "{NULL}"  # nothing can be inside of it
            if source.rest:
                return self._found(number, column, variable, source.rest)
            if source.shape.kind in WRITERS:
                return self._nullable(number, column, WRITERS[source.shape.kind], variable, always=always)
            if source.shape.kind == "null":
                return ["missing += 1"], "{NULL}"
            return self._plain(number, column, variable)
        attribute = self.plan.attributes[source.attributes[0]]
        if is_searched(column):
            return self._searched(number, source)
        variable = f"v{self.numbers[attribute.name]}"
        if attribute.how == "document":
            return self._nullable(number, column, written_field, variable, always=attribute.required)
        if attribute.how == "whole":
            rest = (column.path or (attribute.name,))[1:]
            return self._found(number, column, variable, rest) if rest else self._plain(number, column, variable)
        always = attribute.required and not attribute.nullable
        return self._nullable(number, column, WRITERS[attribute.how], variable, always=always)

    def _changed_at(self, number: int, column: Column) -> tuple[list[str], str]:
        if self.changed_at_ms is None:
            code = time_field(column, "changed_at_ms", number)
            self.names |= code.names
            return code.lines, f"{{{self._escape(code.field)}}}"
        try:
            self.names[f"encoded{number}"] = column.type.encode(self.changed_at_ms)
        except Misfit:
            return ["raise Unsure"], ""
        return [], f"{{{self._escape(f'encoded{number}')}}}"

    def _nullable(
        self, number: int, column: Column, write: Callable[[Column, str, int], Code], variable: str, *, always: bool
    ) -> tuple[list[str], str]:
        code = write(column, variable, number)
        self.names |= code.names
        if always:
            return code.lines, f"{{{self._escape(code.field)}}}"
        field = f"c{number}"
        lines = [f"if {variable} is None:", f"    {field} = NULL", "    missing += 1", "else:"]
        return [*lines, *_indent([*code.lines, f"{field} = {self._escape(code.field)}"])], f"{{{field}}}"

    def _plain(self, number: int, column: Column, variable: str, absent: str = "UNSET") -> tuple[list[str], str]:
        code, field = encoded_field(column, variable, number), f"c{number}"
        self.names |= code.names
        is_null = f"{variable} is {absent}" + ("" if column.type.kind == "JSON" else f" or {variable} is None")
        lines = [f"if {is_null}:", f"    {field} = NULL", "    missing += 1"]
        return [*lines, f"else: {field} = {self._escape(code.field)}"], f"{{{field}}}"

    def _found(self, number: int, column: Column, variable: str, rest: tuple[str, ...]) -> tuple[list[str], str]:
        """Return the code of a column that is found by names inside of a plain value."""
        self.names[f"find{number}"] = find_by_names(rest)
        lines, field = self._plain(number, column, f"x{number}", "MISSING")
        find = f"x{number} = find{number}({variable}) if type({variable}) is dict else MISSING"
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
        """Return the code of the column that takes what no other column does."""
        taken = taken_by(self.plan.mapping)
        self.names["remaining"] = lambda part: find_untaken(part, taken) or UNSET
        lines, field = self._plain(number, column, f"x{number}")
        return [*self._partial("part", self._whole_names()), f"x{number} = remaining(part)", *lines], field

    def _whole_names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.plan.attributes.values() if each.how == "whole")
