"""JSON Schema, compiled: the reasons that `jsonschema` gives, in their order, without building its errors.

A schema becomes one function for each of its keywords, called in the schema's own order. They judge *plain values*
(`dynaurora.dynamodb.attributes`), whose numbers are int or Decimal. Each keyword does what the function of the same
name in `jsonschema._keywords` (4.26) does, in the same order: what is cut off after MAX_REASONS is the same too.

What is not compiled is left to `jsonschema`, for the whole schema: `unevaluatedItems`, `unevaluatedProperties`,
`$dynamicRef`, references that lead back to themselves or that an inner `$id` could move, and schemas nested so deep
that Python's own recursion limit would decide.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from dynaurora.dynamodb.attributes import Binary
from dynaurora.errors import Reason
from dynaurora.mappings.keywords import (
    URI_OF,
    describe_format,
    find_extras,
    has_unique_items,
    is_of_format,
    make_validator,
)
from dynaurora.mappings.patterns import compile_pattern
from dynaurora.mappings.reasons import NOT_ALLOWED, Told, breaks, choose_branch, name_types, wrong_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Path = tuple[str | int, ...]

DRAFT = "https://json-schema.org/draft/2020-12/schema"

MAX_SCHEMA_DEPTH = 50
"""Schemas nested deeper are not compiled."""
MAX_COMPILED_DEPTH = 200
"""An item nested deeper is judged by `jsonschema`, whose own depth decides when Python gives up on it."""
PYTHON_TYPES: dict[str, set[type]] = {
    "string": {str, Binary},
    "integer": {int},
    "number": {int, Decimal},
    "boolean": {bool},
    "null": {type(None)},
    "array": {list},
    "object": {dict},
}
"""The types of plain values, by JSON Schema's names for them."""
NUMBERS = frozenset(PYTHON_TYPES["number"])
STRINGS = frozenset(PYTHON_TYPES["string"])


class NotCompilableError(ValueError):
    """A schema that is left to `jsonschema`: its message names the keyword and where it stands."""

    def __init__(self, keyword: str, place: str, problem: str) -> None:
        super().__init__(f"{keyword} at {place} {problem}")
        self.keyword, self.place, self.problem = keyword, place, problem


class Verdict(Protocol):
    """What takes the reasons that checks find."""

    def add(self, rule: str, path: Path, message: str) -> None:
        """Take one reason; may raise to end the search."""
        ...


Check = Callable[[Any, Path, Verdict], None]
"""Judges a value that stands at a path, and adds what is wrong with it to a verdict."""


class BrokenError(Exception):
    """A value breaks its schema, and as many reasons as are wanted were found."""


class Reasons:
    """The first reasons, up to `limit`; the search ends with the last of them."""

    def __init__(self, limit: int) -> None:
        self.found: list[Reason] = []
        self._limit = limit

    def add(self, rule: str, path: Path, message: str) -> None:
        """Keep a reason."""
        self.found.append(Reason(rule, ".".join(map(str, path)), message))
        if len(self.found) == self._limit:
            raise BrokenError


class _Counting:
    """How many reasons there are."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, _rule: str, _path: Path, _message: str) -> None:
        self.count += 1


class _Collecting:
    """All reasons that there are."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def add(self, rule: str, path: Path, message: str) -> None:
        self.told.append((rule, path, message))


class _First:
    """Whether there is any reason: the search ends with the first."""

    def add(self, _rule: str, _path: Path, _message: str) -> NoReturn:
        raise BrokenError


FIRST = _First()


def find_reasons(check: Check, value: Any, limit: int) -> list[Reason]:
    """Return the first reasons why a schema refuses a value; none where it takes it."""
    reasons = Reasons(limit)
    with suppress(BrokenError):
        check(value, (), reasons)
    return reasons.found


def holds(check: Check, value: Any) -> bool:
    """Return whether a schema takes a value."""
    try:
        check(value, (), FIRST)
    except BrokenError:
        return False
    return True


def compile_schema(schema: Any) -> Check:
    """Return the check that a checked schema is.

    Raises NotCompilableError where it has to be left to `jsonschema`.
    """
    return _Compiler(schema).compile(schema, "$")


def compile_part(root: Any, schema: Any) -> Check:
    """Return the check that a schema inside of a checked one is. Raises NotCompilableError."""
    return _Compiler(root).compile(schema, "$")


class _Compiler:
    """Compiles one schema with all that its references lead to."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._depth = 0
        self._targets: dict[str, Check] = {}
        """Checks of what references lead to, by the reference."""
        self._pending: set[str] = set()
        """References that are being compiled: one of them again leads back to itself."""

    def compile(self, schema: Any, place: str) -> Check:
        if schema is True:
            return _nothing
        if schema is False:
            return _false
        dialect = schema.get("$schema", DRAFT)
        if dialect.rstrip("#") != DRAFT:
            raise NotCompilableError("$schema", place, f"is another dialect, {dialect}")
        self._depth += 1
        if self._depth > MAX_SCHEMA_DEPTH:
            raise NotCompilableError("the schema", place, f"is nested deeper than {MAX_SCHEMA_DEPTH} levels")
        checks = [
            builder(self, expected, schema, f"{place}.{keyword}")
            for keyword, expected in schema.items()
            if (builder := BUILDERS.get(keyword)) is not None
        ]
        self._depth -= 1
        return _all_of(checks)

    def member(self, schema: Any, place: str) -> Check:
        """Return the check of a schema for what is inside of a value; where it is false, jsonschema names the value."""
        return _false_member if schema is False else self.compile(schema, place)

    def each(self, schemas: Iterable[Any], place: str) -> list[Check]:
        return [self.compile(schema, f"{place}[{index}]") for index, schema in enumerate(schemas)]

    def reference(self, reference: str, place: str) -> Check:
        if reference in self._pending:
            raise NotCompilableError("$ref", place, f"leads back to {reference}, which it stands in")
        if reference not in self._targets:
            self._pending.add(reference)
            self._targets[reference] = self.compile(self._look_up(reference, place), reference)
            self._pending.discard(reference)
        return self._targets[reference]

    def _look_up(self, reference: str, place: str) -> Any:
        if any(isinstance(node, dict) and "$id" in node for node in _nodes(self._root)):
            raise NotCompilableError("$ref", place, "stands in a schema with $id, which decides where it leads")
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        resolver = Registry().resolver_with_root(DRAFT202012.create_resource(self._root))
        return resolver.lookup(reference).contents


def _nodes(value: Any) -> Iterator[Any]:
    pending = [value]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, dict | list):
            pending += node.values() if isinstance(node, dict) else node


def _nothing(_value: Any, _path: Path, _verdict: Verdict) -> None:
    return


def _false(_value: Any, path: Path, verdict: Verdict) -> None:
    verdict.add("schema", path, NOT_ALLOWED)


def _false_member(_value: Any, path: Path, verdict: Verdict) -> None:
    verdict.add("schema", path[:-1], NOT_ALLOWED)


def _all_of(checks: list[Check]) -> Check:
    if not checks:
        return _nothing
    if len(checks) == 1:
        return checks[0]

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        for each in checks:
            each(value, path, verdict)

    return check


# Keywords of every type of value


def _type(_compiler: _Compiler, expected: Any, _schema: Any, _place: str) -> Check:
    types, allowed = _python_types(expected), name_types(expected)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) not in types:
            verdict.add("type", path, wrong_type(value, allowed))

    return check


def _python_types(names: str | list[str]) -> frozenset[type]:
    return frozenset().union(*(PYTHON_TYPES[name] for name in ([names] if isinstance(names, str) else names)))


def _enum(_compiler: _Compiler, expected: list[Any], _schema: Any, _place: str) -> Check:
    message = breaks("enum", expected)
    equals = [_equality(each) for each in expected]

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if not any(equal(value) for equal in equals):
            verdict.add("enum", path, message)

    if all(type(each) is str for each in expected):
        texts = frozenset(expected)

        def check_text(value: Any, path: Path, verdict: Verdict) -> None:
            if type(value) not in STRINGS or value not in texts:
                verdict.add("enum", path, message)

        return check_text
    return check


def _const(_compiler: _Compiler, expected: Any, _schema: Any, _place: str) -> Check:
    message, equal = breaks("const", expected), _equality(expected)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if not equal(value):
            verdict.add("const", path, message)

    return check


def _equality(expected: Any) -> Callable[[Any], bool]:
    """Return what tells whether a value equals an expected one, as JSON Schema has it: 1 is 1.0, and is not true."""
    if expected is None or type(expected) is bool:
        return lambda value: value is expected
    if type(expected) is str:
        return lambda value: type(value) in STRINGS and value == expected
    if isinstance(expected, int | float | Decimal):
        return lambda value: type(value) in NUMBERS and value == expected
    from jsonschema._utils import equal

    return lambda value: bool(equal(value, expected))


def _format(_compiler: _Compiler, expected: str, _schema: Any, _place: str) -> Check:
    message = describe_format(expected)
    if expected not in make_validator().FORMAT_CHECKER.checkers.keys() | URI_OF.keys():
        return _nothing

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if not is_of_format(value, expected):
            verdict.add("format", path, message)

    return check


# Keywords of strings


def _length(keyword: str, is_outside: Callable[[Any, Any], bool], types: frozenset[type]) -> Builder:
    def build(_compiler: _Compiler, limit: Any, _schema: Any, _place: str) -> Check:
        message = breaks(keyword, limit)

        def check(value: Any, path: Path, verdict: Verdict) -> None:
            if type(value) in types and is_outside(len(value), limit):
                verdict.add(keyword, path, message)

        return check

    return build


def _pattern(_compiler: _Compiler, expected: str, _schema: Any, _place: str) -> Check:
    message, search = breaks("pattern", expected), compile_pattern(expected)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) in STRINGS and not search(value):
            verdict.add("pattern", path, message)

    return check


# Keywords of numbers


def _bound(keyword: str, is_outside: Callable[[Any, Any], bool]) -> Builder:
    def build(_compiler: _Compiler, limit: Any, _schema: Any, _place: str) -> Check:
        message = breaks(keyword, limit)

        def check(value: Any, path: Path, verdict: Verdict) -> None:
            if type(value) in NUMBERS and is_outside(value, limit):
                verdict.add(keyword, path, message)

        return check

    return build


def _multiple_of(_compiler: _Compiler, expected: Any, _schema: Any, place: str) -> Check:
    if isinstance(expected, float):  # of a mapping's file, numbers are exact
        raise NotCompilableError("multipleOf", place.rpartition(".")[0], "is a binary fraction")
    message = breaks("multipleOf", expected)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) in NUMBERS and value % expected:
            verdict.add("multipleOf", path, message)

    return check


# Keywords of arrays


def _items(compiler: _Compiler, expected: Any, schema: Any, place: str) -> Check:
    before, message = len(schema.get("prefixItems", ())), breaks("items", expected)
    if expected is False:

        def check_none(value: Any, path: Path, verdict: Verdict) -> None:
            if type(value) is list and len(value) > before:
                verdict.add("items", path, message)

        return check_none
    each = compiler.compile(expected, place)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is list:
            for index in range(before, len(value)):
                each(value[index], (*path, index), verdict)

    return check


def _prefix_items(compiler: _Compiler, expected: list[Any], _schema: Any, place: str) -> Check:
    checks = [compiler.member(schema, f"{place}[{index}]") for index, schema in enumerate(expected)]

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is list:
            for index, (member, each) in enumerate(zip(value, checks, strict=False)):
                each(member, (*path, index), verdict)

    return check


def _contains(compiler: _Compiler, expected: Any, schema: Any, place: str) -> Check:
    each = compiler.compile(expected, place)
    least, most = schema.get("minContains", 1), schema.get("maxContains")
    none, few, many = breaks("contains", expected), breaks("minContains", least), breaks("maxContains", most)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is not list:
            return
        matches = 0
        for member in value:
            if holds(each, member):
                matches += 1
                if most is not None and matches > most:
                    verdict.add("maxContains", path, many)
                    return
        if matches < least:
            verdict.add("minContains" if matches else "contains", path, few if matches else none)

    return check


def _unique_items(_compiler: _Compiler, expected: Any, _schema: Any, _place: str) -> Check:
    if not expected:
        return _nothing
    message = breaks("uniqueItems", expected)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is list and not has_unique_items(value):
            verdict.add("uniqueItems", path, message)

    return check


# Keywords of objects


def _properties(compiler: _Compiler, expected: dict[str, Any], _schema: Any, place: str) -> Check:
    checks = [
        (name, types_taken(schema), compiler.member(schema, f"{place}.{name}")) for name, schema in expected.items()
    ]
    checks = [(name, taken, each) for name, taken, each in checks if each is not _nothing]

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is dict:
            for name, taken, each in checks:
                if name in value and type(value[name]) not in taken:
                    each(value[name], (*path, name), verdict)

    return check


def types_taken(schema: Any) -> frozenset[type]:
    """Return the types whose every value a schema takes, where it names types and says nothing else."""
    if not isinstance(schema, dict) or schema.keys() != {"type"}:
        return frozenset()
    return _python_types(schema["type"])


def _pattern_properties(compiler: _Compiler, expected: dict[str, Any], _schema: Any, place: str) -> Check:
    checks = [
        (compile_pattern(pattern), compiler.member(schema, f"{place}.{pattern}"))
        for pattern, schema in expected.items()
    ]

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is dict:
            for search, each in checks:
                for name, member in value.items():
                    if search(name):
                        each(member, (*path, name), verdict)

    return check


def _additional_properties(compiler: _Compiler, expected: Any, schema: Any, place: str) -> Check:
    if expected is True:
        return _nothing
    message, each = breaks("additionalProperties", expected), compiler.compile(expected, place)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is dict:
            for name in set(find_extras(value, schema)):  # a set, whose order jsonschema's errors have
                each(value[name], (*path, name), verdict)

    def check_none(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is dict and next(find_extras(value, schema), None) is not None:
            verdict.add("additionalProperties", path, message)

    return check_none if expected is False else check


def _property_names(compiler: _Compiler, expected: Any, _schema: Any, place: str) -> Check:
    each = compiler.compile(expected, place)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is dict:
            for name in value:
                each(name, path, verdict)

    return check


def _required(_compiler: _Compiler, expected: list[str], _schema: Any, _place: str) -> Check:
    names, needed = [(name, f"{name!r} is a required property") for name in expected], frozenset(expected)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is dict and not needed <= value.keys():
            for name, message in names:
                if name not in value:
                    verdict.add("required", path, message)

    return check


def _dependent_required(_compiler: _Compiler, expected: dict[str, list[str]], _schema: Any, _place: str) -> Check:
    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is dict:
            for name, needed in expected.items():
                if name in value:
                    for each in needed:
                        if each not in value:
                            verdict.add("dependentRequired", path, f"{each!r} is a dependency of {name!r}")

    return check


def _dependent_schemas(compiler: _Compiler, expected: dict[str, Any], _schema: Any, place: str) -> Check:
    checks = [(name, compiler.compile(dependency, f"{place}.{name}")) for name, dependency in expected.items()]

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if type(value) is dict:
            for name, each in checks:
                if name in value:
                    each(value, path, verdict)

    return check


# Keywords that combine schemas


def _all_schemas(compiler: _Compiler, expected: list[Any], _schema: Any, place: str) -> Check:
    return _all_of(compiler.each(expected, place))


def _any_of(compiler: _Compiler, expected: list[Any], _schema: Any, place: str) -> Check:
    message, checks = breaks("anyOf", expected), compiler.each(expected, place)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if not any(_has_no_reason(each, value) for each in checks):
            verdict.add("anyOf", path, message)

    return check


def _one_of(compiler: _Compiler, expected: list[Any], _schema: Any, place: str) -> Check:
    message, checks = breaks("oneOf", expected), compiler.each(expected, place)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        rest, branches = iter(checks), list[list[Told]]()
        for each in rest:
            branch = _Collecting()
            each(value, path, branch)
            if not branch.told:
                break
            branches.append(branch.told)
        else:
            for rule, where, told in choose_branch(branches, path) or [("oneOf", path, message)]:
                verdict.add(rule, where, told)
        if [each for each in rest if holds(each, value)]:  # of what is left over
            verdict.add("oneOf", path, message)

    return check


def _has_no_reason(check: Check, value: Any) -> bool:
    """Return whether a schema takes a value, all of it judged: anyOf does not stop at a first reason."""
    counting = _Counting()
    check(value, (), counting)
    return not counting.count


def _not(compiler: _Compiler, expected: Any, _schema: Any, place: str) -> Check:
    message, each = breaks("not", expected), compiler.compile(expected, place)

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        if holds(each, value):
            verdict.add("not", path, message)

    return check


def _if(compiler: _Compiler, expected: Any, schema: Any, place: str) -> Check:
    condition = compiler.compile(expected, place)
    then, otherwise = (compiler.compile(schema.get(name, True), f"{place}.{name}") for name in ("then", "else"))

    def check(value: Any, path: Path, verdict: Verdict) -> None:
        (then if holds(condition, value) else otherwise)(value, path, verdict)

    return check


def _ref(compiler: _Compiler, expected: str, _schema: Any, place: str) -> Check:
    return compiler.reference(expected, place)


def _leave(keyword: str, problem: str) -> Builder:
    def build(_compiler: _Compiler, _expected: Any, _schema: Any, place: str) -> Check:
        raise NotCompilableError(keyword, place.rpartition(".")[0], problem)

    return build


Builder = Callable[[_Compiler, Any, Any, str], Check]

BUILDERS: dict[str, Builder] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "format": _format,
    "minLength": _length("minLength", operator.lt, STRINGS),
    "maxLength": _length("maxLength", operator.gt, STRINGS),
    "pattern": _pattern,
    "minimum": _bound("minimum", operator.lt),
    "maximum": _bound("maximum", operator.gt),
    "exclusiveMinimum": _bound("exclusiveMinimum", operator.le),
    "exclusiveMaximum": _bound("exclusiveMaximum", operator.ge),
    "multipleOf": _multiple_of,
    "items": _items,
    "prefixItems": _prefix_items,
    "contains": _contains,
    "minItems": _length("minItems", operator.lt, frozenset({list})),
    "maxItems": _length("maxItems", operator.gt, frozenset({list})),
    "uniqueItems": _unique_items,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "propertyNames": _property_names,
    "required": _required,
    "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas,
    "minProperties": _length("minProperties", operator.lt, frozenset({dict})),
    "maxProperties": _length("maxProperties", operator.gt, frozenset({dict})),
    "allOf": _all_schemas,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "$ref": _ref,
    "$dynamicRef": _leave("$dynamicRef", "is resolved while an item is judged"),
    "unevaluatedItems": _leave("unevaluatedItems", "depends on what other keywords have judged"),
    "unevaluatedProperties": _leave("unevaluatedProperties", "depends on what other keywords have judged"),
}
"""How each keyword is compiled; others say nothing about a value. A test holds the names against jsonschema's."""


def is_deep(value: Any) -> bool:
    """Return whether a plain value is nested deeper than MAX_COMPILED_DEPTH."""
    level: list[Any] = [[value]]
    for _ in range(MAX_COMPILED_DEPTH):
        level = [
            member
            for container in level
            for member in (container.values() if type(container) is dict else container)
            if type(member) is dict or type(member) is list
        ]
        if not level:
            return False
    return True
