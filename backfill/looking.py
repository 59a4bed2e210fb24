"""Looking at what is kept as failed of one deployment: read, told by item, and held against the rows."""

from __future__ import annotations

import heapq
import shlex
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.clients import connect_functions, connect_objects, connect_to
from backfill.failures.counts import make_label, noting_progress
from backfill.failures.items import ItemEntries, name_items
from backfill.failures.reader import FailureReader, Selection
from backfill.failures.verdicts import load_judge
from backfill.terminal.console import WrongUseError, name_command, say
from dynaurora.errors import DynauroraError
from dynaurora.failures.list_failures import SUPERSEDED
from dynaurora.failures.superseded import ItemNamer, find_overtaken
from dynaurora.mappings.registry import Registry
from dynaurora.runs.ends import share_in_percent
from dynaurora.verification.function_lookup import FunctionLookup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backfill.deployment.deployments import Deployment
    from backfill.failures.counts import Tally
    from backfill.failures.items import ItemEntry
    from backfill.failures.reader import Failure
    from dynaurora.mappings.columns import Field

UNSEEN: Final = "Rows could not be looked up, so nobody knows which failures are superseded: {}"


@dataclass
class FunctionRows:
    """The rows of a deployment, by its function compare_rows; once that fails, nothing is known to be newer."""

    lookup: FunctionLookup
    is_available: bool = True

    def find_overtaken(self, table: str, keys: Sequence[tuple[Sequence[Field], int]]) -> set[int]:
        """Return the positions of the keys of which a target has a newer row than the version."""
        if not (self.is_available and keys):
            return set()
        try:
            asked = [[[*fields], str(version)] for fields, version in keys]
            return set(self.lookup.ask("list_newer", table=table, keys=asked)["newer"])
        except (BotoCoreError, ClientError, DynauroraError) as error:
            self.is_available = False
            say(UNSEEN.format(error.problem if isinstance(error, DynauroraError) else error))
            return set()


@dataclass
class Look:
    """The failures of one deployment."""

    deployment: Deployment
    reader: FailureReader
    _rows: FunctionRows | None = field(default=None)

    @classmethod
    def open(cls, deployment: Deployment) -> Self:
        """Return what looks at a deployment's failures."""
        return cls(deployment, FailureReader(deployment.place, connect_objects(), load_judge(deployment)))

    @cached_property
    def namer(self) -> ItemNamer | None:
        """What tells items apart, by the mapping that is deployed; None, which is told, where it cannot be read."""
        try:
            registry = Registry(self.reader.store, self.deployment.bucket, self.deployment.mapping)
            return ItemNamer(registry.find_current())
        except DynauroraError as error:
            say(f"Failures of one item cannot be told from those of others: {error.problem}")
            return None

    @cached_property
    def rows(self) -> FunctionRows | None:
        """What knows the rows; None where the deployment has no such function, or its mapping is not to be had."""
        if not self.deployment.compare_rows or self.namer is None:
            return None
        functions = connect_functions()
        return FunctionRows(FunctionLookup(functions, self.deployment.compare_rows, self.namer.mapping, "failures"))

    def read_entries(self, selection: Selection, by: str, most: int | None = None) -> Iterator[ItemEntry]:
        """Yield the failures of a selection item by item, labelled; of `most` that are read, where it is given.

        Archived ones each for itself, without its row.
        """
        label = make_label(by, self.deployment.place)
        namer, rows = (None, None) if selection.archived else (self.namer, self.rows)
        with ItemEntries(namer, rows) as entries:
            for failure in noting_progress(islice(self.reader.read(selection), most)):
                entries.add(failure, label(failure))
            for entry in entries if rows is None else noting_progress(entries, done="looked up"):
                is_known = rows is not None and rows.is_available
                yield entry if is_known else entry.unknown()

    def is_superseded(self, failure: Failure) -> bool | None:
        """Tell whether the row of a failure's item is newer; None where nobody could look."""
        items = name_items(failure, self.namer)
        if self.rows is None or not items:
            return None
        overtaken = find_overtaken([items], self.rows)
        return all(item in overtaken for item in items) if self.rows.is_available else None

    def count_items(self) -> int | None:
        """Return about how many items the table has; None where nobody may tell. DynamoDB counts every six hours."""
        try:
            table: dict[str, Any] = connect_to("dynamodb").describe_table(TableName=self.deployment.table)["Table"]
        except (BotoCoreError, ClientError):
            return None
        return int(table.get("ItemCount") or 0) or None


def find_failure(looks: Sequence[Look], name: str, stack: str | None) -> tuple[Look, Failure]:
    """Return the failure of a name, parked or archived too. Raises WrongUseError where there is none."""
    for selection in (Selection(include_parked=True), Selection(archived=True)):
        for look in looks:
            failures = noting_progress(look.reader.read(selection))
            if found := next((failure for failure in failures if failure.is_called(name)), None):
                return look, found
    raise WrongUseError(
        f"Nothing that is kept as failed is called {name!r}. It may have been settled meanwhile. List what there is "
        f"with: {name_command('failures', 'list', '--include-parked', stack=stack)}"
    )


def keep_newest(newest: list[tuple[str, int, ItemEntry]], entry: ItemEntry, number: int, limit: int) -> None:
    """Take an entry among so many that came last; of those of one time the first come first."""
    place = (entry.first_seen_at, -number, entry)
    if len(newest) < limit:
        heapq.heappush(newest, place)
    else:
        heapq.heappushpop(newest, place)


def describe_tally(deployment: Deployment, tally: Tally, by: str, items: int | None) -> dict[str, Any]:
    """Return counts for machines."""
    failures = tally.counts.total()
    return {
        "mapping": deployment.mapping,
        "stack": deployment.stack,
        "failures": failures,
        "records": tally.records,
        "batches": tally.batches,
        "parked": tally.parked,
        "superseded": tally.superseded if tally.is_looked_up else None,
        "older_failures": tally.older,
        "items_of_table": items,
        "percent": round(share_in_percent(tally.records, items), 3) if items else None,
        "oldest": tally.oldest or None,
        "newest": tally.newest or None,
        "by": by,
        "counts": [{by: group, "count": number} for group, number in tally.groups],
    }


def name_again(failure: Failure, mapping: str, stack: str | None) -> str:
    """Return the command that takes a failure's object up again; of a batch of records, those that it was made of.

    What is archived is to be brought back first, and of what only names records nothing comes.
    """
    if failure.names_records and not failure.archived:
        return name_command("failures", "discard", mapping, failure.id, stack=stack)
    if failure.archived:
        return name_command("failures", "restore", mapping, failure.id, stack=stack)
    prefix = () if failure.kind == SUPERSEDED else ("--prefix", shlex.quote(failure.key))
    return name_command("reprocess", "start", mapping, *prefix, "--watch", stack=stack)
