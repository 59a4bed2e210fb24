"""Histories of a changing mapping, side by side in one table of the real database, through the production's import."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from dynaurora.aurora import sql
from dynaurora.aurora.connection import Aurora, connect
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import prepare_target
from dynaurora.aws.objects import S3Objects
from dynaurora.batches import import_batch
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.mappings.csv_format import make_label
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.rows import Row
from tests.integration.convergence.cohorts import Place
from tests.integration.convergence.switches import (
    TIME,
    Arrival,
    Columns,
    ModelRow,
    Replica,
    SwitchHistory,
    draw_activations,
    make_switched,
)
from tests.integration.targets import empty
from tests.support.labelled_rows import encode_labelled

BATCH_ROWS: Final = 60
WIDEST: Final = "VARCHAR(60)"


@dataclass
class SwitchCohort:
    """So many histories of the same mappings, all in a seed."""

    place: Place
    seed: int
    size: int
    _model: Replica = field(default_factory=Replica)
    _columns: list[str] = field(default_factory=list)
    """That the replica has besides the key and the time."""
    _written: int = 0

    def run(self) -> list[str]:
        """Tell the histories; return the first things that went wrong, none where all did as they have to."""
        self._draw = random.Random(f"switch cohort {self.seed}")
        activations = draw_activations(self._draw)
        histories = [
            SwitchHistory(self.seed * 1000 + number, activations=activations, prefix=f"{number}/")
            for number in range(self.size)
        ]
        with connect(self.place.endpoint, self.place.administrator) as administrator:
            for number, columns in enumerate(activations):
                self._activate(administrator, columns, is_first=number == 0)
                arrivals = [arrival for history in histories for arrival in history.steps[number]]
                self._draw.shuffle(arrivals)
                with connect(self.place.endpoint, self.place.loader, load_from_s3=True) as aurora:
                    for start in range(0, len(arrivals), BATCH_ROWS):
                        self._import(aurora, arrivals[start : start + BATCH_ROWS])
                differences = list(self._compare(administrator))
                if differences:
                    return differences[:3]
        return [problem for history in histories for problem in history.find_differences(self._model)][:3]

    def _activate(self, administrator: Aurora, columns: Columns, *, is_first: bool) -> None:
        """Make a mapping the current one as a deployment does: columns are added and widened, never dropped."""
        self._mapping = make_switched(columns, self.place.database)
        if is_first:
            empty(administrator, self._mapping)
            prepare_target(administrator, self._mapping)
        table = f"{sql.quote(self._mapping.database)}.{sql.quote(self._mapping.replica)}"
        for name, kind, _ in columns:
            if name not in self._columns:
                self._columns.append(name)
                if not is_first:
                    administrator.execute(f"ALTER TABLE {table} ADD COLUMN {sql.quote(name)} {kind} NULL")
            if kind == WIDEST:
                administrator.execute(f"ALTER TABLE {table} MODIFY {sql.quote(name)} {kind} NULL")
        activate(administrator, self._mapping)
        self._model.activations.append(columns)

    def _import(self, aurora: Aurora, arrivals: list[Arrival]) -> None:
        """Import rows as one batch of the stream, whatever mappings they are of, and one of a backfill."""
        streamed = [arrival for arrival in arrivals if not arrival.is_of_view]
        of_view = [arrival for arrival in arrivals if arrival.is_of_view]
        if streamed:
            body = b"".join(encode_labelled(self._mapping_of(one), [make_row(one)]) for one in streamed)
            self._import_object(aurora, body, "stream", None)
        if of_view:
            lines = [encode_labelled(self._mapping, [make_row(one)]).partition(b",")[2] for one in of_view]
            self._import_object(aurora, b"".join(lines), "backfill", self._mapping.digest)
        # In the order of an import: part by part, and in each by key, the newest version first.
        for label in sorted({self._label(one) for one in streamed}, reverse=True):
            self._merge([one for one in streamed if self._label(one) == label])
        self._merge(of_view)

    def _merge(self, arrivals: list[Arrival]) -> None:
        for arrival in sorted(arrivals, key=lambda one: (one.key, -one.version)):
            self._model.merge(arrival)

    def _import_object(self, aurora: Aurora, body: bytes, source: str, digest: str | None) -> None:
        self._written += 1
        store, bucket = S3Objects(), self.place.bucket
        key = f"processed/mapping={self._mapping.name}/{self.seed}-{self._written}"
        item = BatchObject(bucket, key, store.write(bucket, key, body), len(body))
        batch = Batch(self._mapping.name, source, None, body.count(b"\n"), (item,), digest=digest)
        import_batch.import_batch(batch, self._mapping, aurora, store, bucket, self.place.keep_refused)

    def _mapping_of(self, arrival: Arrival) -> Mapping:
        return make_switched(arrival.columns, self.place.database)

    def _label(self, arrival: Arrival) -> str:
        mapping = self._mapping_of(arrival)
        return make_label(mapping.table, mapping.digest)

    def _compare(self, administrator: Aurora) -> Iterator[str]:
        """Yield the keys whose rows are others than the model's."""
        names = ["_version", "_mapping", "_deleted", TIME, *self._columns]
        table = f"{sql.quote(self._mapping.database)}.{sql.quote(self._mapping.replica)}"
        with administrator.transaction():
            found = administrator.query(f"SELECT id, {', '.join(map(sql.quote, names))} FROM {table}")
        rows = {
            key: ModelRow(
                int(version), generation, bool(deleted), dict(zip([TIME, *self._columns], values, strict=True))
            )
            for key, version, generation, deleted, *values in found
        }
        for key in rows.keys() | self._model.rows.keys():
            expected = self._model.rows.get(key)
            if expected:
                values = {name: expected.values.get(name) for name in (TIME, *self._columns)}
                expected = ModelRow(expected.version, expected.generation, expected.deleted, values)
            if rows.get(key) != expected:
                yield f"seed {self.seed}: {key} is {rows.get(key)}, and not {expected}"


def make_row(arrival: Arrival) -> Row:
    """Return the row that a mapping makes of a change."""
    return Row(arrival.item is None, arrival.version, tuple(arrival.fields()))
