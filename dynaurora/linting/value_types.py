"""Types: what an expression's value can be, as far as the schema of items says so.

A set of JSON types; `null` is in it where the value may be absent or null. What nothing is known of may be anything,
and gives no finding: a false alarm would be as bad as a miss.
"""

from __future__ import annotations

from typing import Any, Final

from dynaurora.mappings.functions import ExactFunctions

Types = frozenset[str]
SyntaxNode = dict[str, Any]
ItemPath = tuple[str, ...]

NOTHING: Final = "null"
SOMETHING: Final[Types] = frozenset({"string", "number", "integer", "boolean", "array", "object"})
WHATEVER: Final[Types] = SOMETHING | {NOTHING}
KEY_TYPES: Final[Types] = frozenset({"string", "number", "integer"})
"""Of a key attribute that the schema says nothing of: text, a number or binary, which is text here."""
MOST_STEPS: Final = 50
"""References that are followed, one after the other."""
TEXT_TYPES: Final[Types] = frozenset({"string"})
NUMBER_TYPES: Final[Types] = frozenset({"number", "integer"})
RESULTS: Final[dict[str, Types]] = {
    **dict.fromkeys(("abs", "ceil", "floor", "length", "sum"), NUMBER_TYPES),
    **dict.fromkeys(("contains", "ends_with", "starts_with"), frozenset({"boolean"})),
    **dict.fromkeys(("join", "to_string", "type"), TEXT_TYPES),
    **dict.fromkeys(("keys", "map", "sort", "sort_by", "to_array", "values"), frozenset({"array"})),
    **dict.fromkeys(("replace", "substring", "lower", "upper", "trim", "concat"), TEXT_TYPES | {NOTHING}),
    "merge": frozenset({"object"}),
    "reverse": frozenset({"array", "string"}),
    "to_number": NUMBER_TYPES | {NOTHING},
    "avg": NUMBER_TYPES | {NOTHING},
    "max": NUMBER_TYPES | TEXT_TYPES | {NOTHING},
    "min": NUMBER_TYPES | TEXT_TYPES | {NOTHING},
    "split": frozenset({"array", NOTHING}),
}
"""What JMESPath's functions answer with (JMESPath Specification, "Built-in Functions"), and this project's own."""


class SchemaView:
    """What the schema of items says of the values at a path."""

    def __init__(self, root: Any, keys: tuple[str, ...] = ()) -> None:
        self.root = root
        self.keys = keys

    def resolve(self, schema: Any) -> Any:
        """Return a schema with its reference followed; True where that leads nowhere, or on and on."""
        for _ in range(MOST_STEPS):
            if not isinstance(schema, dict) or "$ref" not in schema or len(schema.keys() - IDLE) > 1:
                return schema
            schema = self.look_up(schema["$ref"])
        return True

    def look_up(self, reference: str) -> Any:
        """Return what a reference as `#/$defs/name` leads to; True where it leads nowhere."""
        found = self.root
        for step in reference.removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                return True
            found = found[name]
        return found if reference == "#" or reference.startswith("#/") else True

    def types_of(self, schema: Any) -> Types:
        """Return the types that a schema allows, null among them where it does."""
        schema = self.resolve(schema)
        if schema is False:
            return frozenset()
        if not isinstance(schema, dict):
            return WHATEVER
        types = WHATEVER
        if "type" in schema:
            given = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            types &= {*given, *(["integer"] if "number" in given else [])}
        for values in ([schema["const"]] if "const" in schema else None, schema.get("enum")):
            if values is not None:
                types &= frozenset().union(*map(type_of, values)) if values else frozenset()
        for keyword in ("anyOf", "oneOf"):
            if isinstance(schema.get(keyword), list):
                types &= frozenset().union(*(self.types_of(each) for each in schema[keyword]))
        for each in schema.get("allOf", []) if isinstance(schema.get("allOf"), list) else []:
            types &= self.types_of(each)
        return types

    def member(self, schema: Any, name: str) -> tuple[Any, bool, bool]:
        """Return the schema of a member, whether it is always there, and whether it can be there at all."""
        schema = self.resolve(schema)
        if not isinstance(schema, dict):
            return True, False, schema is not False
        properties = schema.get("properties", {})
        is_known = isinstance(properties, dict) and name in properties
        inner = properties[name] if is_known else True
        is_closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
        required = schema.get("required", [])
        return inner, isinstance(required, list) and name in required, is_known or not is_closed

    def at(self, path: ItemPath) -> Any:
        """Return the schema of what is at a path; True where it says nothing."""
        schema: Any = self.root
        for name in path:
            schema = self.member(schema, name)[0]
        return schema

    def is_vague(self, schema: Any) -> bool:
        """Tell whether other keywords than `required` may say that a member is always there."""
        schema = self.resolve(schema)
        return isinstance(schema, dict) and bool(schema.keys() & VAGUE)

    def types_at(self, path: tuple[str, ...]) -> Types:
        """Return the types of what is at a path of names, null where it may be absent."""
        schema: Any = self.root
        may_miss = False
        for depth, name in enumerate(path):
            outer = self.types_of(schema) if depth else frozenset({"object"})
            if "object" not in outer:
                return frozenset({NOTHING})
            is_vague = self.is_vague(schema)
            schema, is_there, can_be = self.member(schema, name)
            is_there = is_there or is_vague
            if not can_be:
                return frozenset({NOTHING})
            is_key = depth == 0 and name in self.keys
            may_miss = may_miss or not (is_there or is_key) or bool(depth and outer != {"object"})
        types = self.types_of(schema)
        types = SOMETHING if types == WHATEVER else types  # null is told of where the schema speaks of it
        if len(path) == 1 and path[0] in self.keys:
            types &= KEY_TYPES
        return types | {NOTHING} if may_miss else types


VAGUE: Final = frozenset({"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"})
"""Keywords with schemas for the same value, which are not looked into for what is required."""
IDLE: Final = frozenset({"$comment", "title", "description", "$id", "$anchor"})
"""Keywords that may stand beside a reference and say nothing of values."""


def type_of(value: Any) -> Types:
    """Return the type of a value in a schema."""
    if value is None:
        return frozenset({NOTHING})
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, str):
        return TEXT_TYPES
    if isinstance(value, list):
        return frozenset({"array"})
    return frozenset({"object"}) if isinstance(value, dict) else NUMBER_TYPES


def as_jmespath(types: Types) -> Types:
    """Return types as JMESPath names them: it has no integers."""
    return (types - {"integer"}) | ({"number"} if "integer" in types else frozenset())


class ExpressionTypes:
    """What an expression can be, and what was found on the way."""

    def __init__(self, view: SchemaView) -> None:
        self.view = view
        self.paths: list[ItemPath] = []
        """Paths into the item that it reads."""
        self.fails: list[tuple[str, bool, str]] = []
        """Functions that fail: the name, whether always, and what they are given then."""

    def find(self, node: SyntaxNode, base: ItemPath = ()) -> Types:
        """Return the types of a node of JMESPath's syntax tree; `base` is the path to the value that it starts from."""
        path = as_path(node)
        if path is not None:
            self.paths += [(*base, *path)]
            return self.view.types_at((*base, *path)) if (*base, *path) else frozenset({"object"})
        handler = getattr(self, f"_{node['type']}", None)
        if handler is None:
            return WHATEVER
        found: Types = handler(node, node["children"], base)
        return found

    def _subexpression(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        for number, child in enumerate(children):
            step = as_path(child)
            if step is None:
                types = self.find(child, base)
                return types if number == len(children) - 1 else WHATEVER
            base = (*base, *step)
        return WHATEVER

    def _pipe(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        self.find(children[0], base)
        return WHATEVER

    def _literal(self, node: SyntaxNode, _children: list[SyntaxNode], _base: ItemPath) -> Types:
        return type_of(node["value"])

    def _comparator(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        self._each(children, base)
        return frozenset({"boolean", NOTHING})

    def _not_expression(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        self._each(children, base)
        return frozenset({"boolean"})

    def _and_expression(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        return frozenset().union(*self._each(children, base))

    def _or_expression(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        left, right = self._each(children, base)
        return (left - {NOTHING}) | right

    def _multi_select_list(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        self._each(children, base)
        return frozenset({"array"})

    def _multi_select_dict(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        self._each([child["children"][0] for child in children], base)
        return frozenset({"object"})

    def _index_expression(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        return WHATEVER if "array" in self.find(children[0], base) else frozenset({NOTHING})

    def _projection(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        """Return what `[*]`, `[]` or a slice gives: a list where there is one."""
        of = children[0]
        if (of["type"] == "index_expression" and of["children"][1]["type"] == "slice") or of["type"] == "flatten":
            of = of["children"][0]
        return self._list_of(of, base)

    def _filter_projection(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        return self._list_of(children[0], base)

    def _value_projection(self, _node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        of = self.find(children[0], base)
        return frozenset({"array", NOTHING}) if "object" in of else frozenset({NOTHING})

    def _list_of(self, node: SyntaxNode, base: ItemPath) -> Types:
        of = self.find(node, base)
        return (of & {"array"}) | (frozenset({NOTHING}) if of != {"array"} else frozenset())

    def _function_expression(self, node: SyntaxNode, children: list[SyntaxNode], base: ItemPath) -> Types:
        types = self._each(children, base)
        signature = ExactFunctions.FUNCTION_TABLE.get(node["value"], {}).get("signature", ())
        for given, wanted in zip(types, signature, strict=False):
            self._check_argument(node["value"], given, wanted)
        if node["value"] == "not_null":
            return frozenset().union(*types)
        return RESULTS.get(node["value"], WHATEVER)

    def _check_argument(self, name: str, given: Types, wanted: dict[str, Any]) -> None:
        allowed = {each.partition("-")[0] for each in wanted.get("types", ())}
        known = as_jmespath(given)
        if not allowed or "expref" in allowed or NOTHING in allowed:
            return
        if not known & allowed:
            self.fails.append((name, True, " or ".join(sorted(known)) or "nothing"))
        elif NOTHING in known:
            self.fails.append((name, False, ""))

    def _each(self, children: list[SyntaxNode], base: ItemPath) -> list[Types]:
        return [self.find(child, base) for child in children]


def as_path(node: SyntaxNode) -> ItemPath | None:
    """Return the names that a node follows from where it starts, where it does nothing else."""
    if node["type"] == "field":
        return (str(node["value"]),)
    if node["type"] == "current":
        return ()
    if node["type"] == "subexpression":
        steps = [as_path(child) for child in node["children"]]
        return None if None in steps else tuple(name for step in steps for name in step or ())
    return None
