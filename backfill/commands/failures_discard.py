"""`dynaurora failures discard` and `restore`: what nothing is to come of is archived, and brought back."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final, Self

import click

from backfill.commands.options import (
    apply_options,
    check_needs_no_answer,
    dry_run_option,
    json_option,
    stack_option,
    yes_option,
)
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect
from backfill.deployment.deployments import choose_deployments, find_deployments, split_names
from backfill.failures.counts import REASON, noting_progress
from backfill.failures.items import ItemEntries, name_items, name_of
from backfill.failures.reader import Selection
from backfill.looking import Look
from backfill.runs.executions import find_running
from backfill.terminal.console import WrongUseError, name_command, print_json, print_line, say
from backfill.terminal.formatting import format_count
from dynaurora.failures.archive_failures import DISCARDED, archive_failures, name_restored, restore_failures
from dynaurora.failures.list_failures import SUPERSEDED, UNSTARTED
from dynaurora.failures.read_ahead import READ_AT_ONCE
from dynaurora.failures.superseded import find_overtaken, identify_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from backfill.deployment.clients import Clients
    from backfill.failures.reader import Failure
    from dynaurora.aws.objects import Listed
    from dynaurora.failures.failed_records import FailedRecord

EVERYTHING: Final = Selection(include_parked=True)
NAMED: Final = 1000
"""Ids that are told to machines."""
RESTORED: Final = 20
"""Ids that the command is told with that brings them back."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What is meant of one object; not what it holds, for there may be many."""

    kind: str
    listed: Listed
    ids: tuple[str, ...]
    """Of the failures, one for each."""
    names: frozenset[str]
    """What they may be called."""
    identities: frozenset[bytes]
    """What tells their records from others of the object."""

    @classmethod
    def of(cls, kind: str, listed: Listed, failures: Sequence[Failure]) -> Self:
        """Return these failures of an object."""
        names = frozenset(name for failure in failures for name in failure.names)
        identities = frozenset(identify_record(failure.as_record()) for failure in failures)
        return cls(kind, listed, tuple(failure.id for failure in failures), names, identities)

    def covers(self, record: FailedRecord) -> bool:
        """Tell whether a record of the object is meant."""
        return identify_record(record) in self.identities


@dataclass(frozen=True, slots=True)
class Move:
    """How failures are moved, as the command line asks for it."""

    verb: str
    """`discard` or `restore`."""
    names: tuple[str, ...]
    option: str
    """What chooses failures where none is named."""
    is_chosen: bool
    """Whether that is given."""
    dry_run: bool
    yes: bool
    stack: str | None
    as_json: bool

    @property
    def done(self) -> str:
        """The verb of what is done."""
        return f"{self.verb.removesuffix('e')}ed"


Found = list[tuple[Look, list[Meant]]]
"""What is meant, by whose it is."""


def named_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that moves failures its names, and the options that all such have."""
    names = click.argument("names", nargs=-1, metavar="[MAPPING] [FAILURE]...")
    return apply_options(command, (names, dry_run_option, yes_option, stack_option, json_option))


@click.command(
    epilog="""\b
Examples:
  dynaurora failures discard 3f2a9c0d41be
  dynaurora failures discard orders 3f2a9c0d41be 9b01d2c3e4f5 --yes
  dynaurora failures discard orders --superseded --dry-run
"""
)
@click.option("--superseded", is_flag=True, help="What newer rows or failures of the same items have overtaken.")
@named_options
def discard(
    names: tuple[str, ...], superseded: bool, dry_run: bool, yes: bool, stack: str | None, as_json: bool
) -> None:
    """Discard failures that nothing is to come of: those that are named by their ids, or all that are superseded.

    A failure is an item's: earlier ones of the same item go with it. They are moved to the archive, archived/ in the
    landing bucket, and are not tried again; `failures restore` brings them back. infra/failures-policy.json allows
    both: beside what looking at failures takes, s3:PutObject, s3:PutObjectTagging and s3:DeleteObject below the
    prefixes of failures and of the archive, and states:ListExecutions of reprocess-failures.
    """
    why = SUPERSEDED if superseded else DISCARDED

    def archive(look: Look, each: Meant) -> None:
        place = look.reader.store, look.deployment.bucket, look.deployment.mapping
        archive_failures(*place, each.kind, each.listed, why, each.covers)

    find = find_superseded if superseded else find_named
    move(Move("discard", names, "--superseded", superseded, dry_run, yes, stack, as_json), find, archive)


@click.command(
    epilog="""\b
Examples:
  dynaurora failures restore 3f2a9c0d41be
  dynaurora failures restore orders --all --dry-run
"""
)
@click.option("--all", "is_all", is_flag=True, help="Everything in the archive, what was superseded too.")
@named_options
def restore(names: tuple[str, ...], is_all: bool, dry_run: bool, yes: bool, stack: str | None, as_json: bool) -> None:
    """Bring back failures that were discarded, or superseded, by their ids: the next reprocess takes them up."""
    one_by_one = defaultdict[tuple[str, str], Lock](Lock)

    def bring_back(look: Look, each: Meant) -> None:
        store, bucket, mapping = look.reader.store, look.deployment.bucket, look.deployment.mapping
        with one_by_one[bucket, name_restored(mapping, each.listed.key)]:  # of one key the second goes beside the first
            restore_failures(store, bucket, mapping, each.kind, each.listed, each.covers)

    move(Move("restore", names, "--all", is_all, dry_run, yes, stack, as_json), find_archived, bring_back)


def move(
    asked: Move,
    find: Callable[[Look, Sequence[str]], Iterator[Meant]],
    act: Callable[[Look, Meant], None],
) -> None:
    """Find what is meant, ask, and act on each object. Raises WrongUseError for names that nothing has."""
    check_needs_no_answer(as_json=asked.as_json, is_answered=asked.yes or asked.dry_run)
    with explained_errors():
        clients = connect()
        looks, ids = open_named(clients, asked)
        found = [(look, [*find(look, ids)]) for look in looks]
        check_ids(ids, found, asked.stack)
        number = count_meant(found)
        is_done = number > 0 and not asked.dry_run
        if is_done:
            check_no_reprocess(clients, found)
            if not asked.yes:
                question = f"{asked.verb.capitalize()} {format_count(number, 'failure')}?"
                click.confirm(question, abort=True, err=True)
            for look, meant in found:
                act_on_each(look, meant, act)
    tell(asked, number, found, is_done=is_done)


def act_on_each(look: Look, meant: Sequence[Meant], act: Callable[[Look, Meant], None]) -> None:
    """Act on objects, several at the same time. Raises what any of it does; the others are done all the same."""
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        for _ in noting_progress(pool.map(partial(act, look), meant), "object", "done"):
            pass


def open_named(clients: Clients, asked: Move) -> tuple[list[Look], list[str]]:
    """Return what looks at the mapping that is named, or at all, and the ids. Raises WrongUseError for wrong names."""
    deployments = find_deployments(clients.cloudformation, asked.stack)
    mapping, ids = split_names(asked.names, deployments)
    if bool(ids) == asked.is_chosen:
        raise WrongUseError(f"Failures are named by their ids, or chosen by {asked.option}: one of the two.")
    return [Look.open(found) for found in choose_deployments(deployments, mapping)], ids


def find_named(look: Look, ids: Sequence[str]) -> Iterator[Meant]:
    """Yield the objects with failures of these ids, parked ones too, and with earlier failures of the same items.

    An earlier one would stand for its item once the newer one is gone, and bring back what that has overtaken.
    """
    wanted, newest = frozenset(ids), find_versions(look, ids)

    def is_meant(failure: Failure) -> bool:
        if failure.names & wanted:
            return True
        items = name_items(failure, look.namer) if newest else []
        return bool(items) and all(item.version < newest.get(name_of([item]), 0) for item in items)

    yield from choose(look, EVERYTHING, is_meant)


def find_versions(look: Look, ids: Sequence[str]) -> dict[str, int]:
    """Return the versions of the items that failures of these ids are of, by what names an item."""
    missing, versions = set(ids), dict[str, int]()
    for failure in noting_progress(look.reader.read(EVERYTHING)):
        if failure.names & missing:
            missing -= failure.names
            versions |= {name_of([item]): item.version for item in name_items(failure, look.namer)}
        if not missing:
            break
    return versions


def find_superseded(look: Look, _ids: Sequence[str]) -> Iterator[Meant]:
    """Yield the objects with failures that newer rows, or newer failures of their items, have overtaken."""
    if look.rows is None:
        problem = "This deployment has nothing that looks rows up: upgrade it, or name failures by their ids."
        raise WrongUseError(problem)
    with ItemEntries(look.namer) as entries:
        for failure in noting_progress(look.reader.read(EVERYTHING)):
            entries.add(failure, REASON)
        for (kind, listed), failures in read_objects(look, EVERYTHING, "looked up"):
            named = [name_items(failure, look.namer) for failure in failures]
            overtaken = find_overtaken(named, look.rows)
            meant = [
                failure
                for failure, items in zip(failures, named, strict=True)
                if items and (all(item in overtaken for item in items) or not entries.is_newest(items))
            ]
            if meant:
                yield Meant.of(kind, listed, meant)
    if not look.rows.is_available:
        raise click.ClickException("Nothing was discarded, since rows cannot be looked up.")


def find_archived(look: Look, ids: Sequence[str]) -> Iterator[Meant]:
    """Yield the archived objects with failures of these ids; without any, all."""
    wanted = frozenset(ids)
    yield from choose(look, Selection(archived=True), lambda failure: not wanted or bool(failure.names & wanted))


def choose(look: Look, selection: Selection, is_meant: Callable[[Failure], bool]) -> Iterator[Meant]:
    """Yield the objects of a selection that have failures that are meant, with these."""
    for (kind, listed), failures in read_objects(look, selection, "read"):
        meant = [*filter(is_meant, failures)]
        if kind != UNSTARTED and meant:
            yield Meant.of(kind, listed, meant)


def read_objects(look: Look, selection: Selection, done: str) -> Iterator[tuple[tuple[str, Listed], list[Failure]]]:
    """Yield the objects of a selection, each with its failures, and tell how many there were so far."""
    objects = look.reader.read_objects(look.reader.list_objects(selection))
    yield from noting_progress(((found, [*failures]) for found, failures in objects), "object", done)


def check_ids(ids: Sequence[str], found: Found, stack: str | None) -> None:
    """Raise WrongUseError where nothing is called by one of the ids."""
    known = {name for _, meant in found for each in meant for name in each.names}
    if unknown := [name for name in ids if name not in known]:
        again = name_command("failures", "list", "--include-parked", stack=stack)
        raise WrongUseError(f"Nothing is called {', '.join(unknown)}. List what is kept as failed with: {again}")


def check_no_reprocess(clients: Clients, found: Found) -> None:
    """Raise ClickException where a reprocess is under way, which works on the same objects."""
    for look, meant in found:
        deployment = look.deployment
        if meant and find_running(clients.states, deployment.reprocess_failures_arn, deployment.mapping):
            watch = name_command("reprocess", "watch")
            raise click.ClickException(f"A reprocess of {deployment.mapping} is under way: wait for it with {watch}.")


def count_meant(found: Found) -> int:
    """Return how many failures are meant."""
    return sum(len(each.ids) for _, meant in found for each in meant)


def tell(asked: Move, number: int, found: Found, *, is_done: bool) -> None:
    """Say what was done, or would be."""
    ids = sorted({name for _, meant in found for each in meant for name in each.ids})
    if asked.as_json:
        objects = sum(len(meant) for _, meant in found)
        print_json({asked.done: number, "objects": objects, "ids": ids[:NAMED], "dry_run": not is_done and number > 0})
        return
    if not number:
        say("Nothing is like that.")
        return
    print_line(f"{format_count(number, 'failure')} {'' if is_done else 'would be '}{asked.done}")
    if is_done and asked.verb == "discard":
        restore = name_command("failures", "restore", *ids[:RESTORED], stack=asked.stack)
        say(f"Kept under archived/ in the landing bucket; back with: {restore}")
