"""Conditions: which of a mapping's targets an item belongs to, and what a change of it is there.

A target's `when` is an expression of the plain item, judged before the target's schema. Of a delete only the keys are
known: every other attribute is *unknown*, and may have been anything, or missing. So an expression is true, false or
undecided there, and only what no item of that key could have been true of is false.

    put, true              a row of the target
    put, false             a delete in the target, whose row it may have been before; nothing, where keys alone decide
    put, error             refused, as nobody knows whether it is the target's; nothing, where keys alone decide
    delete                 a delete in the target, where it may have a row; nothing, where keys alone decide

A delete is right in every target, whatever its condition: the item is gone. Excluding a target spares a tombstone.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import jmespath

from dynaurora.dynamodb.attributes import plain_item
from dynaurora.errors import Reason, RejectedChange
from dynaurora.mappings.expressions import compile_tree
from dynaurora.mappings.paths import EVERY_CHILD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynaurora.dynamodb.changes import Change
    from dynaurora.mappings.mapping import Mapping

    Node = dict[str, Any]
    Item = dict[str, Any]


class Route(Enum):
    """What a change is in a target."""

    TAKEN = "taken"
    """It is the target's."""
    LEFT = "left"
    """Not, or not any more: a delete."""
    EXCLUDED = "excluded"
    """The target never had a row of its key."""


class Outcome(Enum):
    """What an expression may come to, of all items that have some keys.

    An item by which it fails counts for nothing: a target never has a row of such a one.
    """

    TRUE = "true"
    FALSE = "false"
    UNDECIDED = "undecided"
    FAILS = "fails"
    """By every item."""


class Condition:
    """The condition of one target; make it once and use it for every change."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        tree: Any = jmespath.compile(mapping.when).parsed
        self._judge = compile_tree(tree)
        self._read = find_attributes(tree)
        self._outcome_of = compile_outcome(tree, frozenset(mapping.key_attributes))

    def find_route(self, change: Change) -> Route:
        """Return what a change is in the target. Raises RejectedChange where the condition has no value by an item."""
        if change.new_image is None:
            return Route.EXCLUDED if self.excludes(change) else Route.LEFT
        try:
            if self.holds(change.new_image):
                return Route.TAKEN
        except Exception as error:  # whatever it is, it is this record's, and this target's
            if self.excludes(change):
                return Route.EXCLUDED
            raise RejectedChange(self._explain(error)) from error
        return Route.EXCLUDED if self.excludes(change) else Route.LEFT

    def holds(self, image: dict[str, Any]) -> bool:
        """Tell whether the condition is true of a typed item. Raises whatever its expression does."""
        if self._read is not None:
            image = {name: image[name] for name in self._read if name in image}
        return is_true(self._judge(plain_item(image, self._mapping.json_attributes)))

    def excludes(self, change: Change) -> bool:
        """Tell whether no item with the keys of a change could be the target's."""
        try:
            keys = plain_item({name: change.keys[name] for name in self._mapping.key_attributes})
        except (KeyError, TypeError, ValueError, RejectedChange):
            return False  # it has no key: the target says so
        return self._outcome_of(keys) is Outcome.FALSE

    def _explain(self, error: Exception) -> Reason:
        """Return why an item cannot be judged, without its values."""
        if isinstance(error, RejectedChange):  # an attribute whose JSON is none
            cause = error.reasons[0]
            return Reason("when", cause.path, f"{cause.message}, and {self._mapping.table} is chosen by it")
        problem = f"has no value for {self._mapping.table}: {type(error).__name__}"
        return Reason("when", self._mapping.when, problem)


def is_of_keys(mapping: Mapping) -> bool:
    """Tell whether a target's condition reads nothing but keys, and so is decided of deletes too."""
    tree: Any = jmespath.compile(mapping.when).parsed
    read = find_attributes(tree)
    return read is not None and read <= frozenset(mapping.key_attributes)


def is_true(value: Any) -> bool:
    """Tell whether JMESPath takes a value for true (JMESPath Specification, "Or Expressions")."""
    return not (value is None or value is False or value in ("", [], {}))


def find_attributes(tree: Node) -> frozenset[str] | None:
    """Return the attributes that a syntax tree reads of the item; None where it reads the item as a whole."""
    names = frozenset(_read_attributes(tree))
    return None if None in names else frozenset(name for name in names if name is not None)


def _read_attributes(node: Node) -> Iterator[str | None]:
    """Yield the attributes that a node reads of the item, None for all of it."""
    kind = node["type"]
    if kind == "field":
        yield node["value"]
    elif kind in {"current", "identity"}:
        yield None
    elif kind not in {"literal", "expref"}:  # what follows `&` reads the elements of an array
        children = [child for child in node["children"] if isinstance(child, dict)]
        for child in children if kind in EVERY_CHILD else children[:1]:
            yield from _read_attributes(child)


def compile_outcome(tree: Node, known: frozenset[str]) -> Callable[[Item], Outcome]:
    """Return what tells an expression's outcome from the known attributes of an item.

    Exact where it reads known ones only, by the expression itself; and, or, not are three-valued, whatever else reads
    an unknown one is undecided.
    """
    kind, read = tree["type"], find_attributes(tree)
    if read is not None and read <= known:
        return _judge_known(tree)
    if kind == "not_expression":
        inner = compile_outcome(tree["children"][0], known)
        return lambda item: NEGATED[inner(item)]
    if kind in {"and_expression", "or_expression"}:
        one, other = (compile_outcome(child, known) for child in tree["children"])
        decisive = Outcome.FALSE if kind == "and_expression" else Outcome.TRUE
        return lambda item: _combine(one(item), other(item), decisive)
    return lambda _: Outcome.UNDECIDED


NEGATED: Final = {
    Outcome.TRUE: Outcome.FALSE,
    Outcome.FALSE: Outcome.TRUE,
    Outcome.UNDECIDED: Outcome.UNDECIDED,
    Outcome.FAILS: Outcome.FAILS,
}


def _judge_known(tree: Node) -> Callable[[Item], Outcome]:
    search = compile_tree(tree)

    def judge(item: Item) -> Outcome:
        try:
            return Outcome.TRUE if is_true(search(item)) else Outcome.FALSE
        except Exception:  # noqa: BLE001 (an item with these keys is refused)
            return Outcome.FAILS

    return judge


def _combine(one: Outcome, other: Outcome, decisive: Outcome) -> Outcome:
    """Return the outcome of two sides, of which the first decides, without the second, where it is `decisive`."""
    if one in {decisive, Outcome.FAILS}:
        return one
    if one is not Outcome.UNDECIDED:
        return other
    return decisive if other in {decisive, Outcome.FAILS} else Outcome.UNDECIDED
