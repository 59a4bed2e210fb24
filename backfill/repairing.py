"""Repairing: keys that a verification found different, and keys of what is kept as failed, are made equal.

    found      the differences that a verification recorded
    kept       keys of what is kept as failed, parked too: a failure that is mended later must not bring an item back
    surveyed   each is looked at as it is now, item and row; most kept ones are as they should be
    mended     what is not equal is read again (`backfill.rereading`), and no other key
    verified   all of them are compared again, and judged as every verification judges

Each step begins with what there is, so a repair that was killed is simply given again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from backfill.rereading import WantedKey, name_key
from backfill.terminal.formatting import format_count
from dynaurora.aurora.differences import EndedVerification
from dynaurora.dynamodb.items import MOST_KEYS
from dynaurora.dynamodb.versions import second_of
from dynaurora.verification.compare_items import Compared, Suspect
from dynaurora.verification.function_lookup import divide_rows
from dynaurora.verification.verdicts import SUSPICIOUS, Found, RowVerdict, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from backfill.rereading import KeyedReader
    from backfill.verifying import Verification
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.verification.expectations import Expectation, Expecter
    from dynaurora.verification.function_lookup import FunctionLookup

MENDED: Final = (RowVerdict.DIFFERING, RowVerdict.MISSING, RowVerdict.EXTRA, RowVerdict.OLDER_MAPPING)
"""What reading an item again makes equal."""
TOLD_GROUPS: Final = 20
"""Keys that are read at once, after so many of which it is told how far it is."""
LAST_SECOND: Final = 253402300799
"""That a date can be said of: the end of the year 9999."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that may be different."""

    key: TypedItem
    table: str | None
    """The target; None for all."""
    kept: int = 0
    """The newest version of its changes that are kept as failed; 0 for one that a verification found."""

    @property
    def name(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.table or "", name_key(self.key)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a key is now, in one target."""

    table: str
    key: TypedItem
    finding: Found
    version: int
    """Of its row; 0 where there is none, and where the row is equal."""
    has_item: bool
    kept: int = 0

    @property
    def is_revivable(self) -> bool:
        """Whether its item is gone and a change that is kept as failed would bring a row back, once it is mended."""
        return not self.has_item and self.version < self.kept

    @property
    def is_to_mend(self) -> bool:
        """Whether it is to be read again."""
        if self.kept:
            return self.is_revivable or self.finding.verdict is RowVerdict.EXTRA
        return self.finding.verdict in MENDED


@dataclass
class Survey:
    """What candidates are now."""

    mend: list[Looked] = field(default_factory=list)
    impossible: list[Looked] = field(default_factory=list)
    others: Counter[RowVerdict] = field(default_factory=Counter)
    """What needs no mending, or nothing here mends, by verdict."""
    expired: int = 0
    """Rows without an item that are left, since deletes by Time to Live are not replicated."""

    @property
    def counts(self) -> dict[str, int]:
        """How many keys are to be mended, by verdict; `kept` are those of failures whose items are gone."""
        names = ("kept" if each.kept else each.finding.verdict.value for each in self.mend)
        return dict(sorted(Counter(names).items()))

    @property
    def not_mended(self) -> dict[str, int]:
        """How many keys are not to be mended, by verdict; `expired` are rows that are left."""
        counts = {verdict.value: count for verdict, count in self.others.items()}
        counts |= {RowVerdict.IMPOSSIBLE.value: len(self.impossible), "expired": self.expired}
        return {name: count for name, count in sorted(counts.items()) if count}

    @property
    def tally(self) -> Tally:
        """What was found, as a verification counts it; keys of kept failures are none of it."""
        tally = Tally(impossible=len(self.impossible))
        for each in self.mend:
            if not each.kept:
                tally.count(each.finding)
        for verdict in self.others.elements():
            tally.count(Found(verdict))
        return tally

    def list_wanted(self) -> list[WantedKey]:
        """Return what is to be read again: each key once, with the newest version that is to be beaten."""
        wanted: dict[str, WantedKey] = {}
        for each in self.mend:
            name, beats = name_key(each.key), max(each.version, each.kept)
            known = wanted.get(name, WantedKey(each.key))
            extra = {each.table} if each.finding.verdict is RowVerdict.EXTRA else frozenset[str]()
            wanted[name] = WantedKey(known.key, max(known.beats, beats), known.extra_in | extra)
        return [*wanted.values()]


@dataclass
class Surveyor:
    """Looks at keys as they are now: their items, and their rows in each target."""

    expecter: Expecter
    lookup: FunctionLookup
    reader: KeyedReader
    keeps_expired: bool
    """Whether deletes by Time to Live are not replicated: rows without an item are there by right."""
    tell: Callable[[str], None] = lambda _line: None
    """Is told how far it is, now and then."""

    def survey(self, candidates: Iterable[Candidate]) -> Survey:
        """Sort candidates by what they are now."""
        survey = Survey()
        for each in self.look(candidates):
            if each.finding.verdict is RowVerdict.IMPOSSIBLE:
                survey.impossible.append(each)
            elif each.is_to_mend and self.keeps_expired and not each.has_item:
                survey.expired += 1
            elif each.is_to_mend:
                survey.mend.append(each)
            elif not each.kept:
                survey.others[each.finding.verdict] += 1
        return survey

    def look(self, candidates: Iterable[Candidate]) -> Iterator[Looked]:
        """Yield what each candidate is in its target, or in each; of a kept one, only where its item is gone."""
        for number, some in enumerate(group_keys(candidates), 1):
            if number % TOLD_GROUPS == 0:
                self.tell(f"{number * MOST_KEYS:,} keys looked at")
            items: dict[str, TypedItem | None] = {}
            for _, read in self.reader.read([*{name_key(each.key): each.key for each in some}.values()]):
                items |= {name_key(key): item for key, item in read}
            yield from self._look_up([each for each in some if not (each.kept and items[name_key(each.key)])], items)

    def verify(self, verification: Verification, candidates: Iterable[Candidate]) -> None:
        """Compare the keys of candidates, whose suspects are still to be judged."""
        for each in self.look(candidates):
            compared = Compared(Tally(items=int(each.has_item)))
            if each.finding.verdict in SUSPICIOUS:
                compared.suspects.append(Suspect(each.table, each.key, each.finding))
            else:
                compared.tally.count(each.finding)
            verification.take(compared)

    def _look_up(self, candidates: Sequence[Candidate], items: dict[str, TypedItem | None]) -> Iterator[Looked]:
        by_table: dict[str, list[tuple[Candidate, Expectation]]] = {}
        for each in candidates:
            for expected in self.expecter.expect(each.key, items[name_key(each.key)], each.table):
                if expected.expectation is not None:  # else no row can have such a key
                    by_table.setdefault(expected.table, []).append((each, expected.expectation))
        for table, its in by_table.items():
            findings = self.lookup.compare(table, [wanted for _, wanted in its])
            asked = [
                wanted
                for (each, wanted), finding in zip(its, findings, strict=True)
                if each.kept or finding.verdict is not RowVerdict.IDENTICAL
            ]
            versions = dict(zip(map(id, asked), self._read_versions(table, asked), strict=True))
            for (each, wanted), finding in zip(its, findings, strict=True):
                has_item = items[name_key(each.key)] is not None
                yield Looked(table, each.key, finding, versions.get(id(wanted), 0), has_item, each.kept)

    def _read_versions(self, table: str, expectations: Sequence[Expectation]) -> list[int]:
        return [
            int(version)
            for rows in divide_rows([each.encode() for each in expectations])
            for version in self.lookup.ask("tell_versions", table=table, rows=rows)["versions"]
        ]


def group_keys(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    """Yield candidates so many together as have keys that can be read at once."""
    group: list[Candidate] = []
    names: set[str] = set()
    for each in candidates:
        name = name_key(each.key)
        if len(names) == MOST_KEYS and name not in names:
            yield group
            group, names = [], set()
        group.append(each)
        names.add(name)
    if group:
        yield group


@dataclass(frozen=True)
class FoundDifferences:
    """What a verification left."""

    verification: EndedVerification
    candidates: list[Candidate]
    left_out: int
    """Differences that it counted and did not record."""


def find_verification(lookup: FunctionLookup, run: str | None) -> EndedVerification | None:
    """Return a verification that ended, or the newest of all items."""
    found = lookup.ask("find_verification", verification=run)["found"]
    return EndedVerification(**found) if found else None


def read_differences(lookup: FunctionLookup, verification: EndedVerification) -> FoundDifferences:
    """Return the keys that a verification found different, each once in each target."""
    candidates: dict[tuple[str, str], Candidate] = {}
    recorded = Counter[str]()
    after = 0
    while listed := lookup.ask("read_differences", verification=verification.run, after=after)["differences"]:
        for one in listed:
            candidate = Candidate(one["item_key"], one["target"])
            if candidate.name not in candidates:
                candidates[candidate.name] = candidate
                recorded[one["verdict"]] += 1
        after = listed[-1]["number"]
    counted = {verdict.value: verification.counts.get(verdict.value, 0) for verdict in SUSPICIOUS}
    left_out = sum(max(0, count - recorded[verdict]) for verdict, count in counted.items())
    return FoundDifferences(verification, [*candidates.values()], left_out)


def describe_impossible(survey: Survey, replicas: dict[str, str]) -> Iterator[str]:
    """Yield what can be done about rows whose versions lie in the future; `replicas` are tables by target."""
    for table, name in replicas.items():
        versions = [each.version for each in survey.impossible if each.table == table]
        if versions:
            rows, until = f"{format_count(len(versions), 'row')} of {table}", describe_second(second_of(max(versions)))
            statement = f"DELETE FROM {name} WHERE _version >= {min(versions)}"  # noqa: S608 (for people to run)
            yield f"{rows} with a version in the future: nothing beats it before {until}. Delete them by hand, then"
            yield f"repair again, which brings their items: {statement}"


def describe_second(second: int) -> str:
    """Return a second of Unix time for people."""
    return f"{datetime.fromtimestamp(min(second, LAST_SECOND), UTC):%Y-%m-%d %H:%M:%S} UTC"
