"""Automata of patterns: whether RE2 knows a pattern's states after a while, or makes a new one with each character.

RE2 keeps the states that it meets, and a character costs a look into a table once all are known. A pattern with large
counts may have so many that each character makes another, of as many places as it counts: 390 KB of `a` and `b` keep
`a.{1,999}b.{1,999}c` busy for half a minute, and are looked at in no time for `^[ab]{1,999}c`. So the states are made
here, for characters that the pattern tells apart, until there are none left or too many.
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

FEW_PLACES: Final = 200
"""Of a pattern, two for what may be left out: all of them are followed at once, in less than ten microseconds for each
character."""
MAX_STEPS: Final = 500_000
"""Places that are gone through while the states are made, and all else by its time: they take a third of a second, and
RE2's states fit its memory."""
MAKING: Final = 4
"""Steps in whose time a place is made, or a class of characters."""
NO_CHARACTER: Final = -1
"""The number of what a place takes that is passed without a character."""
LAST_CHARACTER: Final = 0x10FFFF
ASCII_DIGITS: Final = [(0x30, 0x39)]
ASCII_WORDS: Final = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
TOKEN: Final = re.compile(r"(?s)\\([pP])\{(\w+)\}|\\.|.")
"""Of a pattern; one with groups is a property of Unicode, which Python has no name for."""
PRIVATE: Final = 0xF0000
"""The first of the characters that stand for those of one property alone: no text has a meaning for them (The Unicode
Standard, "Private-Use Characters")."""
Ranges = tuple[tuple[int, int], ...]
"""Of code points, the last ones included; in order, with others between them."""


class _TooManyError(Exception):
    """More steps than are taken."""


@cache
def has_few_states(pattern: str) -> bool:
    """Tell whether the states of a linear pattern, in Python's words, are few enough to be known after a while."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of `[a&&b]`, which other languages read as an intersection
            automaton = _Automaton(_parser.parse(_replace_properties(pattern), re.ASCII))
        if len(automaton.places) > FEW_PLACES:
            automaton.make_states()
    except (_TooManyError, RecursionError, re.error):  # RE2 takes `^*`, which Python does not
        return False
    return True


def _replace_properties(pattern: str) -> str:
    """Return a pattern with a word's characters in the place of each property's, and one that no other property has."""
    parts, names, in_class = list[str](), dict[str, str](), False
    for found in TOKEN.finditer(pattern):
        if name := found[2]:
            own = names.setdefault(name, chr(PRIVATE + len(names)))
            members = rf"\w{own}" if found[1] == "p" else r"\W"
            parts.append(members if in_class else f"[{members}]")
            continue
        in_class = found[0] == "[" or (in_class and found[0] != "]")
        parts.append(found[0])
    return "".join(parts)


class _Automaton:
    """The places of a pattern, each with what it takes and where that leads to, and how they are entered."""

    def __init__(self, tree: Any) -> None:
        self.places: list[tuple[int, list[int]]] = []
        """The number of what a place takes, and the places behind it."""
        self.begins = set[int]()
        """Places that are passed at the beginning of a text only."""
        self.numbers: dict[Ranges, int] = {}
        """Of what places take."""
        self.read: dict[tuple[Any, Any], int] = {}
        """The same of a tree's leaves, which are in as many places as they are repeated."""
        self.steps = 0
        end = self._add(NO_CHARACTER, [])
        self.start = self._build(tree, end)
        self.taken = [*self.numbers]
        """What places take, by its number."""

    def _count(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise _TooManyError

    def _add(self, taken: int, following: list[int]) -> int:
        self.places.append((taken, following))
        return len(self.places) - 1

    def _build(self, tree: Any, following: int) -> int:
        """Return the place where a part of a pattern begins that leads to a place."""
        self._count(MAKING * (len(tree) + 1))
        for code, argument in reversed(tree):
            following = self._build_part(code, argument, following)
        return following

    def _build_part(self, code: Any, argument: Any, following: int) -> int:
        if code in {codes.MAX_REPEAT, codes.MIN_REPEAT}:
            least, most, part = argument
            return self._build_repeat(least, most, part, following)
        if code is codes.SUBPATTERN:
            return self._build(argument[-1], following)
        if code is codes.BRANCH:
            ways = {self._build(branch, following) for branch in argument[1]}
            return self._add(NO_CHARACTER, [*ways])
        if code is codes.AT:
            place = self._add(NO_CHARACTER, [] if argument in {codes.AT_END, codes.AT_END_STRING} else [following])
            if argument in {codes.AT_BEGINNING, codes.AT_BEGINNING_STRING}:
                self.begins.add(place)
            return place
        return self._add(self._number(code, argument), [following])

    def _number(self, code: Any, argument: Any) -> int:
        """Return the number of what a leaf takes."""
        leaf = (code, id(argument) if code is codes.IN else argument)
        if leaf not in self.read:
            ranges = _list_ranges(argument if code is codes.IN else [(code, argument)])
            self.read[leaf] = self.numbers.setdefault(ranges, len(self.numbers))
        return self.read[leaf]

    def _build_repeat(self, least: int, most: Any, part: Any, following: int) -> int:
        if most is codes.MAXREPEAT:
            behind: list[int] = []
            loop = self._add(NO_CHARACTER, behind)
            behind += [self._build(part, loop), following]
            following = loop
        else:
            behind_all = following
            for _ in range(most - least):
                following = self._add(NO_CHARACTER, [self._build(part, following), behind_all])
        for _ in range(least):
            following = self._build(part, following)
        return following

    def make_states(self) -> None:
        """Make all states of a search. Raises _TooManyError."""
        apart = cache(self._tell_apart)
        anywhere = self._reach([self.start], at_beginning=False)
        known = {self._reach([self.start], at_beginning=True)}
        waiting = [*known]
        while waiting:
            ways = dict[int, list[int]]()
            for place in waiting.pop():
                taken, following = self.places[place]
                ways.setdefault(taken, []).extend(following)
            for taking in apart(frozenset(ways)):
                taken_ways = [way for taken in taking for way in ways[taken]]
                reached = self._reach(taken_ways, at_beginning=False) | anywhere
                self._count(len(reached) + 1)
                if reached not in known:
                    known.add(reached)
                    waiting.append(reached)

    def _reach(self, ways: Iterable[int], *, at_beginning: bool) -> frozenset[int]:
        """Return the places that take something and are reached from others before anything is taken."""
        seen, waiting = set[int](), [*ways]
        while waiting:
            place = waiting.pop()
            if place not in seen and (at_beginning or place not in self.begins):
                seen.add(place)
                taken, following = self.places[place]
                waiting += following if taken == NO_CHARACTER else ()
        self._count(len(seen))
        return frozenset(place for place in seen if self.places[place][0] != NO_CHARACTER)

    def _tell_apart(self, numbers: frozenset[int]) -> set[frozenset[int]]:
        """Return which of what is taken, by its numbers, takes one character, each once: a walk from edge to edge."""
        changes: dict[int, set[int]] = {0: set()}
        for number in numbers:
            for first, last in self.taken[number]:
                for edge in (first, last + 1):
                    changes.setdefault(edge, set()).add(number)
        found, taking = set[frozenset[int]](), set[int]()
        for edge in sorted(changes):
            taking ^= changes[edge]
            self._count(len(taking) + MAKING)
            found.add(frozenset(taking))
        return found


def _list_ranges(members: Any) -> Ranges:
    """Return the code points of a class of characters."""
    found, is_negated = list[tuple[int, int]](), False
    for code, argument in members:
        if code is codes.NEGATE:
            is_negated = True
        elif code is codes.LITERAL:
            found.append((argument, argument))
        elif code is codes.NOT_LITERAL:
            found += _negate([(argument, argument)])
        elif code is codes.RANGE:
            found.append(argument)
        else:  # a category of ASCII's: others that ECMA-262 has names for, a translation writes out as ranges
            named = ASCII_DIGITS if argument in {codes.CATEGORY_DIGIT, codes.CATEGORY_NOT_DIGIT} else ASCII_WORDS
            found += _negate(named) if argument in {codes.CATEGORY_NOT_DIGIT, codes.CATEGORY_NOT_WORD} else named
    others = _negate(found)
    return tuple(others if is_negated else _negate(others))


def _negate(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return all other code points."""
    negated, begin = list[tuple[int, int]](), 0
    for first, last in sorted(ranges):
        if begin < first:
            negated.append((begin, first - 1))
        begin = max(begin, last + 1)
    return [*negated, (begin, LAST_CHARACTER)] if begin <= LAST_CHARACTER else negated
