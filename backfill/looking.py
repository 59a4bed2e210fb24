"""Looking at what is kept as failed of one deployment: read, told by item, and held against the rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.clients import connect_functions, connect_objects, connect_to
from backfill.failures.counts import make_label, noting_progress
from backfill.failures.items import ItemEntries, name_items
from backfill.failures.reader import FailureReader
from backfill.failures.verdicts import load_judge
from backfill.terminal.console import say
from backfill.verifying import FunctionLookup
from dynaurora.errors import DynauroraError
from dynaurora.failures.superseded import ItemNamer, find_overtaken
from dynaurora.mappings.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backfill.deployment.deployments import Deployment
    from backfill.failures.items import ItemEntry
    from backfill.failures.reader import Failure, Selection
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
        except (BotoCoreError, ClientError, click.ClickException) as error:
            self.is_available = False
            say(UNSEEN.format(error.message if isinstance(error, click.ClickException) else error))
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

    def read_entries(self, selection: Selection, by: str) -> Iterator[ItemEntry]:
        """Yield the failures of a selection item by item, labelled; archived ones each for itself, without its row."""
        label = make_label(by, self.deployment.place)
        namer, rows = (None, None) if selection.archived else (self.namer, self.rows)
        with ItemEntries(namer, rows) as entries:
            for failure in noting_progress(self.reader.read(selection)):
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
