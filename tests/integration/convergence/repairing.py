"""Repairing what a verification named, by production code: keys are looked at, read again, and imported as batches.

A key among them is of a failure whose item is gone. That failure is imported in the end, as one that was mended, and
must bring nothing back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from backfill.repairing import Candidate, Survey, Surveyor
from backfill.rereading import KeyedReader, Rereader
from dynaurora.aurora.connection import Aurora
from dynaurora.aws.objects import S3Objects
from dynaurora.batches import import_batch
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.items import ItemsRead
from dynaurora.dynamodb.scans import Pace
from dynaurora.failures.refused_rows import RefusedRows
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification.compare_rows import RowComparer
from dynaurora.verification.expectations import Expecter
from dynaurora.verification.repair_steps import REPAIR_STEPS
from tests.integration.convergence.histories import CurrentMapping, ImportsToCome, Replicated
from tests.integration.convergence.things import Key, Thing, typed_key

REPAIRED: Final = 1_700_200_000
"""Unix time at which it is repaired, long after all that histories write."""
RECENT: Final = (REPAIRED - 60) * 10**40
"""The version of a row that cannot be beaten at once."""
REFUSED: Final = (("by hand, refused", "1"), (REPAIRED - 3600) * 10**40)
"""Key and version of a change that is kept as failed, and whose item is gone."""


class AskedRows(RowComparer):
    """Rows that are looked up as the function compare_rows looks them up."""

    def ask(self, step: str, **event: Any) -> dict[str, Any]:
        return REPAIR_STEPS[step](event, self, self.aurora)


@dataclass
class ItemsAtRest:
    """The items of a table that nobody writes to, and the time at which they are read."""

    items: dict[Key, Thing]
    second: float = REPAIRED
    table: str = "things"

    def read_items(self, asked: list[dict[str, Any]]) -> ItemsRead:
        wanted = [(key["pk"]["S"], key["sk"]["S"]) for key in asked]
        return ItemsRead([self.items[key].typed(key) for key in wanted if key in self.items], [], 0.0)

    def wait(self, seconds: float) -> None:
        self.second += seconds


@dataclass
class Repairer:
    """Repairs a table that has come to rest."""

    mapping: Mapping
    bucket: str
    name: str
    aurora: Aurora
    items: dict[Key, Thing]
    store: S3Objects = field(default_factory=S3Objects)

    def repair(self, candidates: list[Candidate]) -> None:
        """Mend what of some keys is not as it has to be."""
        with self._looking() as surveyor:
            survey = surveyor.survey(candidates)
        for descriptor in self.reread(survey):
            self.take(Batch.from_event({"batch": descriptor}))

    def reread(self, survey: Survey) -> list[dict[str, Any]]:
        """Read again what is to be mended, and return the batches of it."""
        imports, table = ImportsToCome(), ItemsAtRest(self.items)
        stands_for: dict[str, Any] = {
            "deployment": Replicated(self.bucket),
            "registry": CurrentMapping(self.mapping),
            "states": imports,
            "items": table,
        }
        rereader = Rereader(
            **stands_for,
            mapper=RowMapper(self.mapping),
            store=self.store,
            run=self.name,
            pace=Pace(1e9),
            clock=lambda: table.second,
            sleep=table.wait,
        )
        rereader.reread(survey.list_wanted())
        return imports.batches

    def take_up_failure(self) -> None:
        """Import what was kept as failed, as is done once the mapping is mended."""
        key, version = REFUSED
        thing = next(iter(self.items.values()))
        body = encode_row(RowMapper(self.mapping).row(Change(version, 0, typed_key(key), thing.typed(key))))
        place = f"batches/{self.name}/refused"
        item = BatchObject(self.bucket, place, self.store.write(self.bucket, place, body), len(body))
        self.take(Batch(self.mapping.name, "reprocess", self.name, 1, (item,), digest=self.mapping.digest))

    def take(self, batch: Batch) -> None:
        """Import a batch."""
        keep = RefusedRows(self.store, self.bucket, "arn:import_batch")
        import_batch.import_batch(batch, self.mapping, self.aurora, self.store, self.bucket, keep)

    @contextmanager
    def _looking(self) -> Iterator[Surveyor]:
        """What looks at keys; which of them were seen is forgotten in the end."""
        rows: Any = AskedRows(self.aurora, self.mapping, self.name)
        items: Any = ItemsAtRest(self.items)
        yield Surveyor(Expecter(RowMapper(self.mapping)), rows, KeyedReader(items, Pace(1e9)), keeps_expired=False)
        rows.forget()
