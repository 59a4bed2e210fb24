"""Automata of patterns: whether RE2 knows a pattern's states after a while, or makes a new one with each character.

RE2 keeps the states that it meets, and a character costs a look into a table once all are known. A pattern with large
counts may have so many that each character makes another, of as many places as it counts: 390 KB of `a` and `b` keep
`a.{1,999}b.{1,999}c` busy for half a minute, and are looked at in no time for `^[ab]{1,999}c`. So the states are made
here, for characters that the pattern tells apart, until there are none left or too many.
"""

from __future__ import annotations

import re
from functools import cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

FEW_PLACES: Final = 200
"""Of a pattern, two for what may be left out: all of them are followed at once in two microseconds for a character."""
MAX_STEPS: Final = 500_000
"""Places that are gone through while the states are made: they take a third of a second, and RE2's fit its memory."""
LAST_CHARACTER: Final = 0x10FFFF
ASCII_DIGITS: Final = [(0x30, 0x39)]
ASCII_WORDS: Final = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
UNICODE_PROPERTY: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\([pP])\{\w+\}")
"""Of Unicode, which Python has no name for; for the number of states it is as good as a word's characters."""
Ranges = tuple[tuple[int, int], ...]
"""Of code points, the last ones included."""


class _TooManyError(Exception):
    """More places or steps than are looked at."""


@cache
def has_few_states(pattern: str) -> bool:
    """Tell whether the states of a linear pattern, in Python's words, are few enough to be known after a while."""
    words = UNICODE_PROPERTY.sub(lambda found: found[1] + (r"\w" if found[2] == "p" else r"\W"), pattern)
    try:
        automaton = _Automaton(_parser.parse(words, re.ASCII))
        return len(automaton.places) <= FEW_PLACES or automaton.make_states()
    except (_TooManyError, RecursionError, re.error):  # RE2 takes `^*`, which Python does not
        return False


class _Automaton:
    """The places of a pattern, each with what it takes and where that leads to, and how they are entered."""

    def __init__(self, tree: Any) -> None:
        self.places: list[tuple[Ranges | None, list[int]]] = []
        """What a place takes, None for nothing, and the places behind it."""
        self.begins = set[int]()
        """Places that are passed at the beginning of a text only."""
        end = self._add(None, [])
        self.start = self._build(tree, end)

    def _add(self, taken: Ranges | None, following: list[int]) -> int:
        if len(self.places) > MAX_STEPS:
            raise _TooManyError
        self.places.append((taken, following))
        return len(self.places) - 1

    def _build(self, tree: Any, following: int) -> int:
        """Return the place where a part of a pattern begins that leads to a place."""
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
            return self._add(None, [self._build(branch, following) for branch in argument[1]])
        if code is codes.AT:
            place = self._add(None, [] if argument in {codes.AT_END, codes.AT_END_STRING} else [following])
            if argument in {codes.AT_BEGINNING, codes.AT_BEGINNING_STRING}:
                self.begins.add(place)
            return place
        members = argument if code is codes.IN else [(code, argument)]
        return self._add(_list_ranges(members), [following])

    def _build_repeat(self, least: int, most: Any, part: Any, following: int) -> int:
        if most is codes.MAXREPEAT:
            behind: list[int] = []
            loop = self._add(None, behind)
            behind += [self._build(part, loop), following]
            following = loop
        else:
            behind_all = following
            for _ in range(most - least):
                following = self._add(None, [self._build(part, following), behind_all])
        for _ in range(least):
            following = self._build(part, following)
        return following

    def make_states(self) -> bool:
        """Make all states of a search; tell whether that took no more steps than are taken."""
        classes = self._tell_apart()
        anywhere = self._reach([self.start], at_beginning=False)
        known = {self._reach([self.start], at_beginning=True)}
        waiting, steps = [*known], 0
        while waiting:
            state = waiting.pop()
            for taking in classes:
                steps += len(state) + 1
                if steps > MAX_STEPS:
                    return False
                ways = [following for place in state if place in taking for following in self.places[place][1]]
                reached = self._reach(ways, at_beginning=False) | anywhere
                if reached not in known:
                    known.add(reached)
                    waiting.append(reached)
        return True

    def _reach(self, ways: Iterable[int], *, at_beginning: bool) -> frozenset[int]:
        """Return the places that take something and are reached from others before anything is taken."""
        seen, waiting = set[int](), [*ways]
        while waiting:
            place = waiting.pop()
            if place not in seen and (at_beginning or place not in self.begins):
                seen.add(place)
                taken, following = self.places[place]
                waiting += following if taken is None else ()
        return frozenset(place for place in seen if self.places[place][0] is not None)

    def _tell_apart(self) -> set[frozenset[int]]:
        """Return the sets of places that take one character, each once."""
        taken = {ranges for ranges, _ in self.places if ranges is not None}
        edges = {0} | {edge for ranges in taken for first, last in ranges for edge in (first, last + 1)}
        alike = {
            frozenset(ranges for ranges in taken if any(first <= edge <= last for first, last in ranges))
            for edge in edges
        }
        return {frozenset(place for place, (ranges, _) in enumerate(self.places) if ranges in each) for each in alike}


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
    return tuple(_negate(found) if is_negated else found)


def _negate(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return all other code points."""
    negated, begin = list[tuple[int, int]](), 0
    for first, last in sorted(ranges):
        if begin < first:
            negated.append((begin, first - 1))
        begin = max(begin, last + 1)
    return [*negated, (begin, LAST_CHARACTER)] if begin <= LAST_CHARACTER else negated
