"""Documents: a typed attribute that a JSON column takes, decoded by its schema and written as JSON text in one go.

What is written is what `encode_json(plain_value(attribute))` writes, and it is judged by its schema on the way: where
the schema would refuse it, or it is not an attribute, something is raised and the plain modules decide.

A schema becomes nodes, one for each place that it names. A node knows the type that msgspec decodes its attribute to,
and the code that writes it. What a schema leaves open is decoded as it is; names that it leaves open are learnt.
"""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import dataclass, field
from functools import partial
from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import NODEFAULT, UNSET, Meta, convert

from dynaurora.dynamodb.attributes import plain_value
from dynaurora.mappings.compiled.fields import JSON_NUMBER, JSON_WHOLE_NUMBER, Unsure
from dynaurora.mappings.compiled.schemas import FIRST, NotCompilableError, compile_part
from dynaurora.mappings.compiled.shapes import ANNOTATIONS, ARRAY_LIMITS, is_nameable, make_struct, say_limits
from dynaurora.mappings.json_fields import JSON_NAME_BYTES, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.mappings.compiled.schemas import Check

MAX_OPEN_DEPTH: Final = 40
"""Levels of what a schema leaves open; together with those that it names, fewer than a JSON column takes."""
MAX_LEARNT_NAMES: Final = 20
"""Names that one object leaves open and that are learnt; with more of them they are taken for data."""
MIN_JSON, MAX_JSON = -(2**63), 2**64 - 1
"""Between them MySQL's JSON keeps whole numbers."""
OF_OBJECTS = frozenset({"properties", "required", "additionalProperties"})
OF_ARRAYS = frozenset({"items", "minItems", "maxItems"})


class Names(dict[str, Any]):
    """What code uses, by the names that it has there."""

    def give(self, thing: Any) -> str:
        """Return a new name for a thing."""
        name = f"d{len(self)}"
        self[name] = thing
        return name


class Node:
    """One place of a document; as it is, one that the schema leaves open."""

    def kind(self) -> Any:
        """Return what msgspec decodes its attribute to."""
        return Any

    def code(self, value: str, names: Names) -> str:
        """Return the expression of the JSON of a decoded attribute; `names` gets what it uses."""
        return f"{names.give(write_any)}({value})"

    def learn(self, _value: Any) -> int:
        """Add the names that a plain value has and the schema leaves open; return how many."""
        return 0


@dataclass
class _Text(Node):
    check: Check | None

    def kind(self) -> Any:
        return make_struct([("S", "value", str, NODEFAULT)])

    def code(self, value: str, names: Names) -> str:
        check = self.check
        if check is None:
            return f"{names.give(quote)}({value}.value)"

        def write(text: str) -> str:
            check(text, (), FIRST)
            return quote(text)

        return f"{names.give(write)}({value}.value)"


@dataclass
class _Number(Node):
    check: Check | None
    is_whole: bool

    def kind(self) -> Any:
        return make_struct([("N", "value", str, NODEFAULT)])

    def code(self, value: str, names: Names) -> str:
        is_plain = JSON_WHOLE_NUMBER if self.is_whole else JSON_NUMBER
        check, is_whole, text = self.check, self.is_whole, f"n{len(names)}"

        def write(text: str) -> str:
            if is_whole and not text.removeprefix("-").isdecimal():
                raise Unsure
            if check is not None:
                check(plain_value({"N": text}, ""), (), FIRST)
            return write_number(text)

        if check is not None:
            return f"{names.give(write)}({value}.value)"
        return f"({text} if {names.give(is_plain)}({text} := {value}.value) else {names.give(write)}({text}))"


class _Boolean(Node):
    def kind(self) -> Any:
        return make_struct([("BOOL", "value", bool, NODEFAULT)])

    def code(self, value: str, names: Names) -> str:
        del names
        return f"('true' if {value}.value else 'false')"


@dataclass
class _Member:
    node: Node
    required: bool


@dataclass
class _Object(Node):
    members: dict[str, _Member]
    open: bool
    loose: bool = field(init=False)
    """Whether its names are data, as those of an object that is a dictionary: too many to be members of a type."""

    def __post_init__(self) -> None:
        self.loose = not self.members
        self._most = len(self.members) + MAX_LEARNT_NAMES

    def kind(self) -> Any:
        if self.loose:
            return make_struct([("M", "value", dict[str, Any], NODEFAULT)])
        members = make_struct(
            (name, f"m{number}", member.node.kind(), NODEFAULT if member.required else UNSET)
            for number, (name, member) in enumerate(self.members.items())
        )
        return make_struct([("M", "value", members, NODEFAULT)])

    def code(self, value: str, names: Names) -> str:
        """Call a function that writes the members, in the order of their names."""
        if self.loose:
            return f"{names.give(self._make_loose_writer())}({value}.value)"
        inner, lines, parts = Names(UNSET=UNSET), [], []
        numbers = {name: number for number, name in enumerate(self.members)}
        for name, member in sorted(self.members.items()):
            number = numbers[name]
            label, text = inner.give(f",{quote(name)}:"), f"t{number}"
            write = f"{text} = {member.node.code(f'm{number}', inner)}"
            lines.append(f"m{number} = members.m{number}")
            if member.required:
                lines.append(write)
                parts.append(f"{{{label}}}{{{text}}}")
            else:
                lines += [f"if m{number} is UNSET: {text} = ''", "else:", f"    {write}"]
                lines.append(f"    {text} = f'{{{label}}}{{{text}}}'")
                parts.append(f"{{{text}}}")
        lines.append(f"return f'{{{{{{f\"{''.join(parts)}\"[1:]}}}}}}'")
        return f"{names.give(_make_function('members', lines, inner))}({value}.value)"

    def _make_loose_writer(self) -> Callable[[dict[str, Any]], str]:
        writers = {name: _make_writer(member.node) for name, member in self.members.items()}
        required = [name for name, member in self.members.items() if member.required]
        others = write_any if self.open else refuse

        def write(members: dict[str, Any]) -> str:
            if not all(name in members for name in required):
                raise Unsure
            texts = {name: writers.get(name, others)(member) for name, member in members.items()}
            return write_members(texts)

        return write

    def learn(self, value: Any) -> int:
        if type(value) is not dict:
            return 0
        added = sum(self.members[name].node.learn(member) for name, member in value.items() if name in self.members)
        unknown = [name for name in value if name not in self.members and is_nameable(name)]
        if not unknown or self.loose or not self.open:
            return added
        if len(self.members) + len(unknown) > self._most:
            self.loose = True
            return added + 1
        self.members |= {name: _Member(Node(), required=False) for name in unknown}
        return added + len(unknown)


@dataclass
class _Array(Node):
    element: Node
    limits: dict[str, Any]
    sets: tuple[str, ...]
    """The descriptors of the sets whose members the schema surely takes."""

    def kind(self) -> Any:
        default = UNSET if self.sets else NODEFAULT
        kinds = {"L": list[self.element.kind()], **dict.fromkeys(self.sets, list[str])}  # type: ignore[misc]
        return make_struct(
            (descriptor, descriptor, Annotated[kind, Meta(**self.limits)] if self.limits else kind, default)
            for descriptor, kind in kinds.items()
        )

    def code(self, value: str, names: Names) -> str:
        inner = Names(UNSET=UNSET, Unsure=Unsure)
        lines, descriptors = [], ("L", *self.sets)
        for descriptor in self.sets:
            write = inner.give(_set_writers[descriptor])
            lines += [f"if array.{descriptor} is not UNSET:", *_only(descriptor, descriptors)]
            lines.append(f"    return {write}(array.{descriptor})")
        if self.sets:
            lines.append("if array.L is UNSET: raise Unsure")
        lines.append(f"return f\"[{{','.join([{self.element.code('m', inner)} for m in array.L])}}]\"")
        return f"{names.give(_make_function('array', lines, inner))}({value})"

    def learn(self, value: Any) -> int:
        return sum(map(self.element.learn, value)) if type(value) is list else 0


def _only(descriptor: str, descriptors: tuple[str, ...]) -> list[str]:
    """Return the code that refuses an attribute with other descriptors beside this one."""
    others = [f"array.{other} is not UNSET" for other in descriptors if other != descriptor]
    return [f"    if {' or '.join(others)}: raise Unsure"]


def _make_writer(node: Node) -> Callable[[Any], str]:
    """Return what writes an attribute that is decoded as it is."""
    names = Names()
    write, kind = _make_function("value", [f"return {node.code('value', names)}"], names), node.kind()
    return lambda attribute: write(convert(attribute, kind))


def _make_function(parameter: str, lines: list[str], names: Names) -> Any:
    parameters = ", ".join([parameter, *(f"{name}={name}" for name in names)])
    source = "\n    ".join([f"def write({parameters}):", *lines])
    namespace = dict(names)
    exec(compile(source, "<document>", "exec"), namespace)  # noqa: S102 (no name of a mapping is in it)
    return namespace["write"]


# From a schema to its node


def make_document(root: Any, schema: Any) -> Node:
    """Return the node of an attribute that a schema, part of another one, takes.

    Raises NotCompilableError where the schema says more than is judged on the way.
    """
    if schema is True or schema == {}:
        return Node()
    kind = schema.get("type") if isinstance(schema, dict) else None
    maker = _makers.get(kind) if isinstance(kind, str) else None
    if maker is None:
        raise NotCompilableError("the schema", "$", "names no single type")
    return maker(root, schema)


def _rest(root: Any, schema: dict[str, Any], kept: frozenset[str] = frozenset()) -> Check | None:
    """Return the check of what a schema says beside its type; objects and arrays may say only what is `kept`."""
    rest = {keyword: schema[keyword] for keyword in schema.keys() - ANNOTATIONS - {"type"} - kept}
    if rest and kept:
        raise NotCompilableError(min(rest), "$", "judges a whole document")
    return compile_part(root, rest) if rest else None


def _text(root: Any, schema: dict[str, Any]) -> Node:
    return _Text(_rest(root, schema))


def _number(root: Any, schema: dict[str, Any]) -> Node:
    return _Number(_rest(root, schema), schema["type"] == "integer")


def _boolean(root: Any, schema: dict[str, Any]) -> Node:
    if _rest(root, schema) is not None:
        raise NotCompilableError("type", "$", "is not all that is said of a boolean")
    return _Boolean()


def _object(root: Any, schema: dict[str, Any]) -> Node:
    _rest(root, schema, OF_OBJECTS)
    others, properties = schema.get("additionalProperties", True), schema.get("properties", {})
    required = dict.fromkeys(schema.get("required", ()))
    if type(others) is not bool:
        raise NotCompilableError("additionalProperties", "$", "judges what nothing names")
    if not others and not required.keys() <= properties.keys():
        raise NotCompilableError("additionalProperties", "$", "does not allow what is required")
    unspeakable = [name for name in properties | required if not is_nameable(name)]
    if unspeakable:
        raise NotCompilableError("properties", "$", f"has the name {unspeakable[0]!r}")
    members = {
        name: _Member(make_document(root, properties.get(name, True)), name in required)
        for name in properties | required
    }
    return _Object(members, others)


def _array(root: Any, schema: dict[str, Any]) -> Node:
    _rest(root, schema, OF_ARRAYS)
    limits, more = say_limits(schema, ARRAY_LIMITS, schema.keys() & ARRAY_LIMITS)
    if more:
        raise NotCompilableError(min(more), "$", "is no small whole number")
    items = schema.get("items", True)
    return _Array(make_document(root, items), limits, _sets_of(items))


def _sets_of(items: Any) -> tuple[str, ...]:
    """Return the descriptors of the sets whose members a schema surely takes."""
    if items is True or items == {}:
        return ("SS", "NS", "BS")
    if items is False or items.keys() - ANNOTATIONS != {"type"}:
        return ()
    return {"string": ("SS", "BS"), "number": ("NS",)}.get(items["type"], ()) if type(items["type"]) is str else ()


_makers: dict[str, Callable[[Any, dict[str, Any]], Node]] = {
    "string": _text,
    "number": _number,
    "integer": _number,
    "boolean": _boolean,
    "object": _object,
    "array": _array,
}


# What a schema leaves open


def write_any(attribute: Any, depth: int = 0) -> str:
    """Return the JSON of any attribute."""
    ((kind, value),) = attribute.items()
    return _open_writers[kind](value, depth + 1)


def refuse(_attribute: Any) -> str:
    """Refuse what a schema does not allow."""
    raise Unsure


def write_members(texts: dict[str, str]) -> str:
    """Return the JSON of an object whose members are written, in the order of their names."""
    text = ",".join([f"{quote(name)}:{texts[name]}" for name in sorted(texts)])
    if len(text) * 4 > JSON_NAME_BYTES and any(len(name) * 4 > JSON_NAME_BYTES for name in texts):
        raise Unsure
    return f"{{{text}}}"


def write_number(text: str) -> str:
    """Return the JSON of a number as DynamoDB writes it."""
    return text if JSON_NUMBER(text) else encode_json(plain_value({"N": text}, ""))


def write_binary(text: str) -> str:
    """Return the JSON of binary: base64, in which nothing has to be escaped."""
    plain: str = plain_value({"B": text}, "")
    return f'"{plain}"'


def write_boolean(value: object) -> str:
    """Return the JSON of a boolean."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise Unsure


def _write_null(value: object) -> str:
    if value is not True:
        raise Unsure
    return "null"


def _write_map(members: Any, depth: int) -> str:
    if depth > MAX_OPEN_DEPTH:
        raise Unsure
    return write_members({name: write_any(member, depth) for name, member in members.items()})


def _write_list(members: Any, depth: int) -> str:
    if depth > MAX_OPEN_DEPTH or type(members) is not list:
        raise Unsure
    return f"[{','.join([write_any(member, depth) for member in members])}]"


def _write_string_set(members: Any) -> str:
    if type(members) is not list:
        raise Unsure
    return f"[{','.join(map(quote, sorted(members)))}]"


def _write_number_set(members: Any) -> str:
    if type(members) is not list:
        raise Unsure
    try:
        numbers = sorted(map(int, members))
    except ValueError:
        return encode_json(plain_value({"NS": members}, ""))
    given, written = ",".join(members), str(numbers).replace(" ", "")
    # Whatever else int() takes, as +1, 01 or 1_0, is longer than how it is written, or not ASCII.
    if (
        numbers
        and len(given) + 2 == len(written)
        and given.isascii()
        and numbers[0] >= MIN_JSON
        and numbers[-1] <= MAX_JSON
    ):
        return written
    return encode_json(plain_value({"NS": members}, ""))


def _write_binary_set(members: Any) -> str:
    if type(members) is not list or not members:
        raise Unsure
    quoted = '","'.join(sorted(members, key=_bytes_of))
    return f'["{quoted}"]'


_bytes_of = partial(a2b_base64, strict_mode=True)
"""The bytes of base64, by which its sets are sorted; what is not quite base64 is for the plain modules."""

_set_writers: dict[str, Callable[[Any], str]] = {
    "SS": _write_string_set,
    "NS": _write_number_set,
    "BS": _write_binary_set,
}
_open_writers: dict[str, Callable[[Any, int], str]] = {
    "S": lambda value, _depth: quote(value),
    "N": lambda value, _depth: write_number(value),
    "B": lambda value, _depth: write_binary(value),
    "BOOL": lambda value, _depth: write_boolean(value),
    "NULL": lambda value, _depth: _write_null(value),
    "M": _write_map,
    "L": _write_list,
    "SS": lambda value, _depth: _write_string_set(value),
    "NS": lambda value, _depth: _write_number_set(value),
    "BS": lambda value, _depth: _write_binary_set(value),
}
