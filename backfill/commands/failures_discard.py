"""`dynaurora failures discard` and `restore`: what nothing is to come of is archived, and brought back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.failures import split_names
from backfill.commands.options import json_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect
from backfill.deployment.deployments import choose_deployments, find_deployments
from backfill.failures.counts import REASON, noting_progress
from backfill.failures.items import ItemEntries, name_items
from backfill.failures.reader import Selection
from backfill.looking import Look
from backfill.runs.executions import find_running
from backfill.terminal.console import WrongUseError, name_command, print_json, print_line, say
from backfill.terminal.formatting import format_count
from dynaurora.failures.archive_failures import DISCARDED, archive_failures, restore_failures
from dynaurora.failures.list_failures import SUPERSEDED, UNSTARTED
from dynaurora.failures.superseded import find_overtaken, identify_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from backfill.deployment.clients import Clients
    from backfill.failures.reader import Failure
    from dynaurora.aws.objects import Listed
    from dynaurora.failures.failed_records import FailedRecord

EVERYTHING: Final = Selection(include_parked=True)


@dataclass
class Meant:
    """What is meant of one object."""

    kind: str
    listed: Listed
    failures: list[Failure] = field(default_factory=list)

    def covers(self, record: FailedRecord) -> bool:
        """Tell whether a record of the object is meant."""
        identity = identify_record(record)
        return any(identity == identify_record(failure.as_record()) for failure in self.failures)


@click.command(
    epilog="""\b
Examples:
  dynaurora failures discard 3f2a9c0d41be
  dynaurora failures discard orders 3f2a9c0d41be 9b01d2c3e4f5 --yes
  dynaurora failures discard orders --superseded --dry-run
"""
)
@click.argument("names", nargs=-1, metavar="[MAPPING] [FAILURE]...")
@click.option("--superseded", is_flag=True, help="What newer rows or failures of the same items have overtaken.")
@click.option("--dry-run", is_flag=True, help="Tell what would be discarded; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@stack_option
@json_option
def discard(
    names: tuple[str, ...], superseded: bool, dry_run: bool, yes: bool, stack: str | None, as_json: bool
) -> None:
    """Discard failures that nothing is to come of: those that are named by their ids, or all that are superseded.

    They are moved to the archive, archived/ in the landing bucket, and are not tried again; `failures restore` brings
    them back. infra/failures-policy.json allows both: beside what looking at failures takes, s3:PutObject,
    s3:PutObjectTagging and s3:DeleteObject below the prefixes of failures and of the archive, and states:ListExecutions
    of reprocess-failures.
    """
    with explained_errors():
        clients = connect()
        looks, ids = open_named(clients, names, stack, is_all=superseded, option="--superseded")
        found = [(look, [*find_superseded(look)] if superseded else [*find_named(look, ids)]) for look in looks]
        check_ids(ids, [failure for _, meant in found for each in meant for failure in each.failures], stack)
        number = count_meant(found)
        if not number or dry_run:
            return tell("discarded", number, found, is_done=False, as_json=as_json)
        check_no_reprocess(clients, found)
        if not yes:
            click.confirm(f"Discard {format_count(number, 'failure')}?", abort=True, err=True)
        why = SUPERSEDED if superseded else DISCARDED
        for look, meant in found:
            deployment = look.deployment
            for each in meant:
                place = look.reader.store, deployment.bucket, deployment.mapping, each.kind, each.listed, why
                archive_failures(*place, each.covers)
        tell("discarded", number, found, is_done=True, as_json=as_json)
    return None


@click.command(
    epilog="""\b
Examples:
  dynaurora failures restore 3f2a9c0d41be
  dynaurora failures restore orders --all --dry-run
"""
)
@click.argument("names", nargs=-1, metavar="[MAPPING] [FAILURE]...")
@click.option("--all", "is_all", is_flag=True, help="Everything in the archive, what was superseded too.")
@click.option("--dry-run", is_flag=True, help="Tell what would be restored; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@stack_option
@json_option
def restore(names: tuple[str, ...], is_all: bool, dry_run: bool, yes: bool, stack: str | None, as_json: bool) -> None:
    """Bring back failures that were discarded, or superseded, by their ids: the next reprocess takes them up."""
    with explained_errors():
        clients = connect()
        looks, ids = open_named(clients, names, stack, is_all=is_all, option="--all")
        found = [(look, [*find_archived(look, None if is_all else ids)]) for look in looks]
        check_ids(ids, [failure for _, meant in found for each in meant for failure in each.failures], stack)
        number = count_meant(found)
        if not number or dry_run:
            return tell("restored", number, found, is_done=False, as_json=as_json)
        check_no_reprocess(clients, found)
        if not yes:
            click.confirm(f"Restore {format_count(number, 'failure')}?", abort=True, err=True)
        for look, meant in found:
            deployment = look.deployment
            for each in meant:
                place = look.reader.store, deployment.bucket, deployment.mapping, each.kind, each.listed
                restore_failures(*place, each.covers)
        tell("restored", number, found, is_done=True, as_json=as_json)
    return None


def open_named(
    clients: Clients, names: Sequence[str], stack: str | None, *, is_all: bool, option: str
) -> tuple[list[Look], list[str]]:
    """Return what looks at the mapping that is named, or at all, and the ids. Raises WrongUseError for wrong names."""
    deployments = find_deployments(clients.cloudformation, stack)
    mapping, ids = split_names(names, deployments)
    if bool(ids) == is_all:
        raise WrongUseError(f"Failures are named by their ids, or chosen by {option}: one of the two.")
    return [Look.open(found) for found in choose_deployments(deployments, mapping)], ids


def find_named(look: Look, ids: Sequence[str]) -> Iterator[Meant]:
    """Yield the objects with failures of these ids, parked ones too."""
    yield from choose(look, look.reader.list_objects(EVERYTHING), lambda failure: any(map(failure.is_called, ids)))


def find_superseded(look: Look) -> Iterator[Meant]:
    """Yield the objects with failures that newer rows, or newer failures of their items, have overtaken."""
    if look.rows is None:
        problem = "This deployment has nothing that looks rows up: upgrade it, or name failures by their ids."
        raise WrongUseError(problem)
    with ItemEntries(look.namer) as entries:
        for failure in noting_progress(look.reader.read(EVERYTHING)):
            entries.add(failure, REASON)
        for kind, listed in look.reader.list_objects(EVERYTHING):
            failures = [*look.reader.read_object(kind, listed)]
            named = [name_items(failure, look.namer) for failure in failures]
            overtaken = find_overtaken(named, look.rows)
            meant = [
                failure
                for failure, items in zip(failures, named, strict=True)
                if items and (all(item in overtaken for item in items) or not entries.is_newest(items))
            ]
            if meant:
                yield Meant(kind, listed, meant)
    if not look.rows.is_available:
        raise click.ClickException("Nothing was discarded, since rows cannot be looked up.")


def find_archived(look: Look, ids: Sequence[str] | None) -> Iterator[Meant]:
    """Yield the archived objects with failures of these ids, or all."""
    yield from choose(
        look, look.reader.list_archived(), lambda failure: ids is None or any(map(failure.is_called, ids))
    )


def choose(look: Look, objects: Iterator[tuple[str, Listed]], is_meant: Callable[[Failure], bool]) -> Iterator[Meant]:
    """Yield the objects that have failures that are meant, with these."""
    for kind, listed in noting_progress(objects, "object"):
        if kind != UNSTARTED and (meant := [*filter(is_meant, look.reader.read_object(kind, listed))]):
            yield Meant(kind, listed, meant)


def check_ids(ids: Sequence[str], failures: Sequence[Failure], stack: str | None) -> None:
    """Raise WrongUseError where nothing is called by one of the ids."""
    unknown = [name for name in ids if not any(failure.is_called(name) for failure in failures)]
    if unknown:
        again = name_command("failures", "list", "--include-parked", stack=stack)
        raise WrongUseError(f"Nothing is called {', '.join(unknown)}. List what is kept as failed with: {again}")


def check_no_reprocess(clients: Clients, found: Sequence[tuple[Look, list[Meant]]]) -> None:
    """Raise ClickException where a reprocess is under way, which works on the same objects."""
    for look, meant in found:
        deployment = look.deployment
        if meant and find_running(clients.states, deployment.reprocess_failures_arn, deployment.mapping):
            watch = name_command("reprocess", "watch")
            raise click.ClickException(f"A reprocess of {deployment.mapping} is under way: wait for it with {watch}.")


def count_meant(found: Sequence[tuple[Look, list[Meant]]]) -> int:
    """Return how many failures are meant."""
    return sum(len(each.failures) for _, meant in found for each in meant)


def tell(what: str, number: int, found: Sequence[tuple[Look, list[Meant]]], *, is_done: bool, as_json: bool) -> None:
    """Say what was done, or would be."""
    ids = sorted({failure.id for _, meant in found for each in meant for failure in each.failures})
    if as_json:
        result: dict[str, Any] = {what: number, "objects": sum(len(meant) for _, meant in found), "ids": ids[:1000]}
        print_json({**result, "dry_run": not is_done and number > 0})
        return
    if not number:
        say("Nothing is like that.")
        return
    would = "" if is_done else "would be "
    print_line(f"{format_count(number, 'failure')} {would}{what}")
    if is_done and what == "discarded":
        say(f"Kept under archived/ in the landing bucket; back with: {name_command('failures', 'restore', *ids[:1])}")
