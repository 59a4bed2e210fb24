"""Documents: a typed attribute that a JSON column takes, decoded by its schema to what msgspec writes its JSON of.

Its JSON is what `encode_json(plain_value(attribute))` writes, and it is judged by its schema on the way: where the
schema would refuse it, or it is not an attribute, something is raised and the plain modules decide. No text is made:
all documents of a row are written by one call.

A schema becomes nodes, one for each place that it names. A node knows the type that msgspec decodes its attribute to,
and the code of its JSON value. What a schema leaves open is decoded as it is; names that it leaves open are learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import NODEFAULT, UNSET, Meta, Raw, convert

from dynaurora.dynamodb.attributes import Binary, plain_value
from dynaurora.mappings.compiled.code_names import Names, make_function
from dynaurora.mappings.compiled.fields import JSON_NUMBER, JSON_WHOLE_NUMBER, Unsure
from dynaurora.mappings.compiled.json_values import (
    SET_VALUES,
    binary_value,
    check_lengths,
    number_value,
    open_value,
    refuse,
)
from dynaurora.mappings.compiled.schemas import FIRST, NotCompilableError, compile_part
from dynaurora.mappings.compiled.shapes import (
    ANNOTATIONS,
    ARRAY_LIMITS,
    STRING_LIMITS,
    is_nameable,
    make_struct,
    say_limits,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.mappings.compiled.schemas import Check

MAX_LEARNT_NAMES: Final = 20
"""Names that one object leaves open and that are learnt; with more of them they are taken for data."""
MAX_GUESSED_DEPTH: Final = 8
"""Levels of guesses in each other."""
OF_OBJECTS = frozenset({"properties", "required", "additionalProperties"})
OF_ARRAYS = frozenset({"items", "minItems", "maxItems"})


class Node:
    """One place of a document; as it is, one that the schema leaves open."""

    @property
    def is_nested(self) -> bool:
        """Whether there are places in it, so that code of it may be in code of it, as deep as its schema goes."""
        return False

    def kind(self) -> Any:
        """Return what msgspec decodes its attribute to."""
        return Any

    def code(self, value: str, names: Names) -> str:
        """Return the expression of the JSON value of a decoded attribute; `names` gets what it uses."""
        return f"{names.give(open_value)}({value})"

    def learn(self, _value: Any) -> int:
        """Add the names that a plain value has and the schema leaves open; return how many."""
        return 0


@dataclass
class _Text(Node):
    check: Check | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    choices: frozenset[str] | None = None
    """The only texts that the schema takes."""
    takes_binary: bool = False
    """Whether any has been seen: base64 is text to a schema."""

    def kind(self) -> Any:
        bare: Any = Annotated[str, Meta(**self.limits)] if self.limits else str
        if self.takes_binary:
            return make_struct([("S", "value", bare, UNSET), ("B", "binary", bare, UNSET)])
        return make_struct([("S", "value", bare, NODEFAULT)])

    def code(self, value: str, names: Names) -> str:
        judge = self._make_judge()

        def take_either(attribute: Any) -> str:
            if (attribute.value is UNSET) == (attribute.binary is UNSET):
                raise Unsure
            return judge(binary_value(attribute.binary) if attribute.value is UNSET else attribute.value)

        if self.takes_binary:
            return f"{names.give(take_either)}({value})"
        if self.choices is None and self.check is None:
            return f"{value}.value"
        return f"{names.give(judge)}({value}.value)"

    def _make_judge(self) -> Callable[[str], str]:
        """Return what returns a text that the schema takes."""
        check, choices = self.check, self.choices
        if choices is not None:
            return {choice: choice for choice in choices}.__getitem__

        def judge(text: str) -> str:
            if check is not None:
                check(text, (), FIRST)
            return text

        return judge

    def learn(self, value: Any) -> int:
        if self.takes_binary or not isinstance(value, Binary):
            return 0
        self.takes_binary = True
        return 1


@dataclass
class _Number(Node):
    check: Check | None
    is_whole: bool

    def kind(self) -> Any:
        return make_struct([("N", "value", str, NODEFAULT)])

    def code(self, value: str, names: Names) -> str:
        is_plain = JSON_WHOLE_NUMBER if self.is_whole else JSON_NUMBER
        check, is_whole, text = self.check, self.is_whole, names.new_variable()

        def take(text: str) -> Raw:
            if is_whole and not text.removeprefix("-").isdecimal():
                raise Unsure
            if check is not None:
                check(int(text) if is_whole else plain_value({"N": text}, ""), (), FIRST)
            return number_value(text)

        if check is not None:
            return f"{names.give(take)}({value}.value)"
        plain, raw = names.give(is_plain), names.give(Raw)
        return f"({raw}({text}) if {plain}({text} := {value}.value) else {names.give(take)}({text}))"


@dataclass
class Judged(Node):
    """A place whose schema says more than is judged on the way: it is judged as a plain value."""

    check: Check

    def code(self, value: str, names: Names) -> str:
        """Call a function that makes it a plain value first."""
        check = self.check

        def take(attribute: Any) -> Any:
            check(plain_value(attribute, ""), (), FIRST)
            return open_value(attribute)

        return f"{names.give(take)}({value})"


class _Boolean(Node):
    def kind(self) -> Any:
        return make_struct([("BOOL", "value", bool, NODEFAULT)])

    def code(self, value: str, names: Names) -> str:
        del names
        return f"{value}.value"


@dataclass
class _Member:
    node: Node
    required: bool


@dataclass
class _Object(Node):
    members: dict[str, _Member]
    open: bool
    depth: int = 0
    """Levels of guesses that it is in."""
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

    @property
    def is_nested(self) -> bool:
        return True

    def code(self, value: str, names: Names) -> str:
        """Make a struct of the members' values; by a function of its own, where there are places in theirs."""
        if self.loose:
            return f"{names.give(self._make_loose())}({value}.value)"
        if not any(member.node.is_nested for member in self.members.values()):
            return self._struct_code(f"{value}.value", names)
        inner = Names(UNSET=UNSET)
        line = f"return {self._struct_code('members', inner)}"
        return f"{names.give(make_function('members', [line], inner))}({value}.value)"

    def _struct_code(self, members: str, names: Names) -> str:
        values = []
        for number, member in enumerate(self.members.values()):
            place = f"{members}.m{number}"
            if member.required:
                values.append(member.node.code(place, names))
            else:
                found = names.new_variable()
                code = member.node.code(found, names)
                values.append(f"UNSET if ({found} := {place}) is UNSET else {code}")
        struct = make_struct((name, f"m{number}", Any, NODEFAULT) for number, name in enumerate(self.members))
        return f"{names.give(struct)}({', '.join(values)})"

    def _make_loose(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        takers = {name: _make_taker(member.node) for name, member in self.members.items()}
        required = [name for name, member in self.members.items() if member.required]
        others = open_value if self.open else refuse

        def take(members: dict[str, Any]) -> dict[str, Any]:
            if not all(name in members for name in required):
                raise Unsure
            return check_lengths({name: takers.get(name, others)(member) for name, member in members.items()})

        return take

    def learn(self, value: Any) -> int:
        if type(value) is not dict:
            return 0
        added = sum(self.members[name].node.learn(member) for name, member in value.items() if name in self.members)
        unknown = [name for name in value if name not in self.members]
        if not unknown or self.loose or not self.open:
            return added
        nameable = [name for name in unknown if is_nameable(name)]
        if len(self.members) + len(nameable) > self._most or len(nameable) < len(unknown):
            self.loose = True
            return added + 1
        self.members |= {name: _Member(Guess(value[name], self.depth + 1), required=False) for name in unknown}
        return added + len(unknown)


@dataclass
class _Array(Node):
    element: Node
    limits: dict[str, Any]
    sets: tuple[str, ...]
    """The descriptors of the sets whose members the schema surely takes."""

    @property
    def is_nested(self) -> bool:
        return True

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
            take = inner.give(SET_VALUES[descriptor])
            lines += [f"if array.{descriptor} is not UNSET:", *_only(descriptor, descriptors)]
            lines.append(f"    return {take}(array.{descriptor})")
        if self.sets:
            lines.append("if array.L is UNSET: raise Unsure")
        lines.append(f"return [{self.element.code('m', inner)} for m in array.L]")
        return f"{names.give(make_function('array', lines, inner))}({value})"

    def learn(self, value: Any) -> int:
        return sum(map(self.element.learn, value)) if type(value) is list else 0


class Guess(Node):
    """A place that a schema leaves open, taken to have what a value had that was seen there, until another has not."""

    def __init__(self, value: Any, depth: int = 0) -> None:
        self._kind = _kind_of(value) if depth < MAX_GUESSED_DEPTH else None
        maker = _guesses.get(self._kind) if self._kind else None
        self._node = Node() if maker is None else maker(value, depth)
        self._node.learn(value)

    @property
    def is_nested(self) -> bool:
        """Whether there are places in what is guessed by now."""
        return self._node.is_nested

    def kind(self) -> Any:
        """Return what msgspec decodes its attribute to, as it is guessed by now."""
        return self._node.kind()

    def code(self, value: str, names: Names) -> str:
        """Return the expression of the JSON of what is guessed by now."""
        return self._node.code(value, names)

    def learn(self, value: Any) -> int:
        """Guess no more where a value is of another type; else learn what is inside of it."""
        if type(self._node) is Node:
            return 0
        if _kind_of(value) is self._kind:
            return self._node.learn(value)
        self._node = Node()
        return 1


def _kind_of(value: Any) -> type:
    """Return the type that a value's places are told apart by."""
    return {Binary: str, Decimal: int}.get(type(value), type(value))


def _guess_object(_value: Any, depth: int) -> Node:
    guessed = _Object({}, open=True, depth=depth)
    guessed.loose = not MAX_LEARNT_NAMES
    return guessed


def _guess_array(value: Any, depth: int) -> Node:
    return _Array(Guess(value[0], depth + 1) if value else Node(), {}, tuple(SET_VALUES))


_guesses: dict[type, Callable[[Any, int], Node]] = {
    str: lambda _value, _depth: _Text(),
    int: lambda _value, _depth: _Number(None, is_whole=False),
    bool: lambda _value, _depth: _Boolean(),
    dict: _guess_object,
    list: _guess_array,
}
"""What is guessed of a value by its type; of null nothing."""


def _only(descriptor: str, descriptors: tuple[str, ...]) -> list[str]:
    """Return the code that refuses an attribute with other descriptors beside this one."""
    others = [f"array.{other} is not UNSET" for other in descriptors if other != descriptor]
    return [f"    if {' or '.join(others)}: raise Unsure"]


def _make_taker(node: Node) -> Callable[[Any], Any]:
    """Return what makes the JSON value of an attribute that is decoded as it is."""
    names = Names(UNSET=UNSET)
    take, kind = make_function("value", [f"return {node.code('value', names)}"], names), node.kind()
    return lambda attribute: take(convert(attribute, kind))


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
    check, rest = _rest(root, schema), schema.keys() - ANNOTATIONS - {"type"}
    limits, more = say_limits(schema, STRING_LIMITS, rest)
    if rest == {"enum"}:
        return _Text(choices=frozenset(choice for choice in schema["enum"] if type(choice) is str))
    return _Text(check if more else None, limits)


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
