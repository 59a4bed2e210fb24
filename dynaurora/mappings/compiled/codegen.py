"""The compiled mapper: for a mapping's plan, Python code that makes rows of the bytes that items come as.

The code is made when a mapping is loaded: straight-line, one statement for each thing that has to be seen to, no loops
over columns. It writes only rows that the plain modules would write; a record that it is not sure of is handed to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from dynaurora.dynamodb.attributes import JSON, exact_number
from dynaurora.dynamodb.versions import MAX_VERSION
from dynaurora.mappings.columns import INTEGER_BITS
from dynaurora.mappings.compiled import attribute_plans as planned
from dynaurora.mappings.compiled.column_code import WRITERS, ColumnWriter, indent
from dynaurora.mappings.compiled.schemas import MAX_COMPILED_DEPTH
from dynaurora.mappings.compiled.shapes import has_any, make_struct, make_type
from dynaurora.mappings.compiled.unmapped_lines import Finds

if TYPE_CHECKING:
    from dynaurora.mappings.compiled.attribute_plans import Attribute
    from dynaurora.mappings.compiled.documents import Node
    from dynaurora.mappings.compiled.plans import RowPlan
    from dynaurora.mappings.compiled.shapes import Member, Shape


def compile_items(
    plan: RowPlan, version: int, changed_at_ms: int, *, escaped: bool, measured: tuple[int, ...] = ()
) -> Any:
    """Return what maps lines of an export: items of one version, changed at one time.

    Its rows are marked for `finish_rows`, or `escaped`, which is slower. The fields of `measured` columns, by their
    positions, are measured.
    """
    writer = _Writer(plan, escaped=escaped, changed_at_ms=changed_at_ms)
    writer.measured = measured
    item = writer.item_type()
    writer.names["decode"] = _decoder(make_struct([("Item", "Item", item, msgspec.NODEFAULT)]))
    body = ["item = decode(source).Item", *writer.item_lines("'0'", f"'{version}'")]
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
        *indent(writer.delete_lines("'1'", "version")),
        "    continue",
        *writer.same_key_lines(),
        "changed_at_ms = change.ChangedAtMs",
        *writer.item_lines("'0'", "version"),
    ]
    return writer.compile(body)


def _decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind, float_hook=exact_number).decode


class _Writer(ColumnWriter):
    """Writes the code of one plan."""

    def __init__(self, plan: RowPlan, *, escaped: bool, changed_at_ms: int | None = None) -> None:
        super().__init__(plan, escaped=escaped, changed_at_ms=changed_at_ms)
        self.finds = Finds(plan.mapping, self.names)
        self.measured: tuple[int, ...] = ()
        """Positions of the columns whose fields are measured."""

    def compile(self, body: list[str]) -> Any:
        """Return the function that runs a body for each source.

        From a list of bytes, and what returns the text of each row that is mapped plainly, it makes a list of rows,
        counts the NULLs in those of its own, and what of their items no column takes: of each of its `paths`, and in a
        list of further ones. Last come the most characters of any field of its own, of each measured column.
        """
        widths = [f"w{number}" for number in self.measured]
        parameters = ", ".join(f"{name}={name}" for name in sorted(self.names))
        lines = [
            f"def rows(sources, exactly, {parameters}):",
            "    made, nulls = [], 0",
            f"    {self.finds.start}",
            *(f"    {width} = 0" for width in widths),
            "    add = made.append",
            "    for index, source in enumerate(sources):",
            "        try:",
            "            missing = 0",
            *(f"            {line}" for line in body),
            "        except REFUSALS:",
            "            made += exactly(index)",
            f"    return made, nulls, {self.finds.counts}, seen, [{', '.join(widths)}]",
        ]
        namespace = dict(self.names)
        exec(compile("\n".join(lines), f"<{self.plan.mapping.name}>", "exec"), namespace)  # noqa: S102 (from a checked mapping; names in it are quoted)
        namespace["rows"].paths = self.finds.paths
        return namespace["rows"]

    def _row_lines(self, fields: list[str]) -> list[str]:
        return [f"add(join(({', '.join(fields)})))", "nulls += missing"]

    # Types

    def item_type(self) -> Any:
        return self._struct(list(self.plan.attributes.values()))

    def keys_type(self) -> Any:
        return self._struct([self.plan.attributes[name] for name in self.plan.mapping.key_attributes])

    def _struct(self, attributes: list[Attribute]) -> Any:
        return make_struct(
            (each.name, f"a{self.numbers[each.name]}", *planned.type_and_default(each)) for each in attributes
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
        lines += self._measure_lines(fields)
        return [*lines, *self._document_texts(), *self._row_lines([*prefix, *fields]), *self.finds.lines]

    def _measure_lines(self, fields: list[str]) -> list[str]:
        """Return the code that measures fields; each is a variable afterwards."""
        lines = []
        for number in self.measured:
            if fields[number] != f"c{number}":
                lines.append(f"c{number} = {fields[number]}")
                fields[number] = f"c{number}"
        if self.measured:
            lines.append(f"if {' or '.join(f'len(c{n}) > w{n}' for n in self.measured)}:")
            lines += indent([f"w{number} = max(w{number}, len(c{number}))" for number in self.measured])
        return lines

    def delete_lines(self, *prefix: str) -> list[str]:
        """Return the code that makes the row of `change`, a delete."""
        mapping = self.plan.mapping
        lines, fields = ["keys = change.Keys"], ["NULL"] * len(mapping.columns)
        for name, column in zip(mapping.key_attributes, mapping.key_columns, strict=True):
            attribute, number = self.plan.attributes[name], self.numbers[name]
            if attribute.how == "whole":
                return ["raise Unsure"]
            position = mapping.columns.index(column)
            code = WRITERS[attribute.how](column, f"k{number}", position)
            self.names |= code.names
            lines += [f"k{number} = keys.a{number}.value", *code.lines]
            fields[position] = self._escape(column, code.field)
        lines.append(f"missing = {fields.count('NULL')}")
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
            checks = [f"if {value} is not None:", *indent(checks)]
        return lines + checks

    def _value_lines(self, attribute: Attribute, number: int, value: str) -> list[str]:
        if not attribute.nullable:
            return [f"{value} = item.a{number}.value"]
        return [
            f"t = item.a{number}",
            f"{value} = t.value",
            f"if ({value} is None) == (t.null is None) or t.null is False: raise Unsure",
        ]

    def _scalar_checks(self, attribute: Attribute, number: int) -> list[str]:
        lines, value = [], f"v{number}"
        if attribute.how == "digits":
            takers = {source.column.type.kind for source in self.plan.sources if attribute.name in source.attributes}
            if not takers:
                lines.append(f"if not NUMBER({value}): raise Unsure")
            if attribute.whole_numbers and takers.isdisjoint(INTEGER_BITS):  # which take nothing but digits
                lines.append(f"if '.' in {value} or 'e' in {value} or 'E' in {value}: raise Unsure")
            low, high = attribute.bounds
            bounds = [str(bound) for bound in (low, f"int({value})", high) if bound is not None]
            if len(bounds) > 1:
                lines.append(f"if not {' <= '.join(bounds)}: raise Unsure")
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
            how = mapping.json_attributes[attribute.name]
            if how == JSON:
                lines.append(f"if type({value}) is str: {value} = parse_embedded({value}, name{number})")
            else:
                lines.append(f"{value} = parse_encoded({value}, {how!r}, name{number})")
        if attribute.name in mapping.key_attributes:
            lines.append(f"if {value} is None: raise Unsure")
        if attribute.check is not None:
            self.names[f"check{number}"] = attribute.check
            lines.append(f"check{number}({value}, (), FIRST)")
        self.finds.add_attribute(attribute.name, value, required=attribute.required)
        if not attribute.required:
            lines = [f"if {value} is not UNSET:", *indent(lines)]
        return [f"{value} = item.a{number}", *lines]

    def _document_lines(self, document: Node, number: int, *, required: bool) -> list[str]:
        code = document.code("t", self.names)
        return [f"t = item.a{number}", f"v{number} = {code if required else f't if t is UNSET else {code}'}"]

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
            lines = [f"p{number} = None", f"if {value} is not None:", *indent(lines)]
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
