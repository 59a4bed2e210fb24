"""Histories of several targets, side by side in one table, through the production's stream, backfill and sweep."""

import base64
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from dynaurora.aurora import sql
from dynaurora.aurora.connection import Aurora, connect
from dynaurora.aurora.fills import has_view, settle_fills
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import prepare_target
from dynaurora.aws.objects import S3Objects
from dynaurora.batches import import_batch
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.exports.convert_export import Converter
from dynaurora.exports.plan import PlannedBatch
from dynaurora.exports.plan_sweep import Sweeper
from dynaurora.exports.reconcile_run import reconcile_run
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.target.change_mapping import show_targets
from tests.integration.convergence.cohorts import Place
from tests.integration.convergence.target_histories import (
    TABLES,
    Arrival,
    ModelRow,
    Replicas,
    TargetHistory,
    Targets,
    draw_activations,
    make_document,
)
from tests.integration.targets import empty
from tests.support.export_factory import data_file, md5_of
from tests.support.factories import make_plan
from tests.support.transforming import make_transformer, packed

BATCH_CHANGES: Final = 60
RUN: Final = "r1"


@dataclass
class TargetCohort:
    """So many histories of the same mappings, all in a seed; their exports are one, asked for at the latest bound."""

    place: Place
    seed: int
    size: int
    _model: Replicas = field(default_factory=Replicas)
    _written: int = 0

    def run(self) -> list[str]:
        """Tell the histories; return the first things that went wrong, none where all did as they have to."""
        self._draw = random.Random(f"target cohort {self.seed}")
        activations = draw_activations(self._draw)
        histories = [TargetHistory(self.seed * 1000 + number, activations, f"p{number}") for number in range(self.size)]
        with connect(self.place.endpoint, self.place.administrator) as administrator:
            for number, targets in enumerate(activations):
                self._activate(administrator, targets, is_first=number == 0)
                self._stream_all(arrival for history in histories for arrival in history.steps[number])
            early = list(self._find_early_views(administrator))
            for history in histories:
                self._backfill(history)
            settle_fills(administrator, self._mapping, RUN, len(activations))
            show_targets(administrator, self._mapping)
            late = [each.table for each in self._mapping.targets if not has_view(administrator, each)]
            differences = [*early, *late, *self._compare(administrator)]
        found = (problem for history in histories for problem in history.find_differences(self._model))
        return [*differences, *found][:3]

    @property
    def _mapping(self) -> Mapping:
        return self._make(self._model.activations[-1])

    def _make(self, targets: Targets) -> Mapping:
        return make_document(targets, self.place.database)

    def _activate(self, administrator: Aurora, targets: Targets, *, is_first: bool) -> None:
        """Make a mapping the current one as a deployment does."""
        mapping = make_document(targets, self.place.database)
        if is_first:
            for table in TABLES:
                alone = make_document(((table, ""),), self.place.database)
                empty(administrator, alone)
                administrator.execute(sql.drop_view(alone))
        prepare_target(administrator, mapping)
        activate(administrator, mapping)
        self._model.activations.append(targets)

    def _find_early_views(self, administrator: Aurora) -> Iterator[str]:
        """Yield the targets that people see before anything was swept, and that the first mapping did not have."""
        for target in self._mapping.targets:
            if has_view(administrator, target) and target.table not in dict(self._model.activations[0]):
                yield f"{target.table} is seen before a backfill has filled it"

    def _stream_all(self, arriving: Iterable[Arrival]) -> None:
        """Import what arrives, in any order."""
        arrivals = [*arriving]
        self._draw.shuffle(arrivals)
        for start in range(0, len(arrivals), BATCH_CHANGES):
            self._stream(arrivals[start : start + BATCH_CHANGES])

    def _stream(self, arrivals: list[Arrival]) -> None:
        """Transform changes, each by the mapping that it is stamped with, and import the rows as one batch."""
        stamps = list(dict.fromkeys(arrival.targets for arrival in arrivals))
        mappings = [self._make(targets) for targets in stamps]
        records = [
            packed(*(arrival.change for arrival in arrivals if arrival.targets == targets), mapping=mapping)
            for targets, mapping in zip(stamps, mappings, strict=True)
        ]
        result = make_transformer(*mappings).transform(records)
        assert result.rejections == []
        body = b"".join(base64.b64decode(record["data"]) for record in result.records)
        self._written += 1
        store, bucket = S3Objects(), self.place.bucket
        name = self._mapping.name
        key = f"processed/mapping={name}/{self.seed}-{self._written}"
        item = BatchObject(bucket, key, store.write(bucket, key, body), len(body))
        if body:
            self._import(Batch(name, "stream", None, None, (item,)))
        for arrival in arrivals:
            self._model.take(arrival)

    def _backfill(self, history: TargetHistory, run: str = RUN) -> None:
        """Convert, import, account for and sweep an export of one history's items, as if the table had no others."""
        store, bucket, run = S3Objects(), self.place.bucket, f"{run}-{history.partition}"
        body = data_file([change.new_image or {} for change in history.view])
        key = f"exports/{self.seed}/{run}.json.gz"
        store.write(bucket, key, body)
        items, second = len(history.view), history.asked
        file = {"key": key, "items": items, "md5": md5_of(body)}
        planned = PlannedBatch.from_dict({"number": 1, "items": items, "files": [file]})
        converter = Converter(RowMapper(self._mapping), store, bucket, bucket, run, second, "arn")
        batch = converter.convert_once(planned)
        self._import(Batch.from_event({"batch": json.loads(json.dumps(batch.as_dict()))}))
        for change in history.view:
            self._model.take(Arrival(self._model.activations[-1], change))
        plan = make_plan(bucket=bucket, items=items, batches=1, export_second=second)
        with connect(self.place.endpoint, self.place.loader, load_from_s3=True) as aurora:
            totals = reconcile_run(aurora, self._mapping, run, plan, store)
            sweep = Sweeper(self._mapping, OnlyOf(aurora, history.partition), store, bucket, run, second).plan(totals)  # type: ignore[arg-type]
        for entry in json.loads(store.read(sweep.bucket, sweep.key)):
            self._import(Batch.from_event({"batch": entry}))
        tables = [table for table, _ in self._model.activations[-1]]
        self._model.sweep(history.snapshot, tables, history.partition)

    def _import(self, batch: Batch) -> None:
        store, bucket = S3Objects(), self.place.bucket
        with connect(self.place.endpoint, self.place.loader, load_from_s3=True) as aurora:
            import_batch.import_batch(batch, self._mapping, aurora, store, bucket, self.place.keep_refused)

    def _list_tables(self) -> Iterator[tuple[str, Mapping]]:
        """Yield the model's tables, each with a mapping of it alone."""
        return ((table, make_document(((table, ""),), self.place.database)) for table in TABLES)

    def _compare(self, administrator: Aurora) -> Iterator[str]:
        """Yield the keys whose rows are others than the model's."""
        for table, mapping in self._list_tables():
            name = f"{sql.quote(mapping.database)}.{sql.quote(mapping.replica)}"
            known = administrator.query(f"SHOW TABLES FROM {sql.quote(mapping.database)} LIKE '{mapping.replica}'")
            names = "pk, sk, _version, _mapping, _deleted, status, n"
            rows = {
                (pk, sk): ModelRow(int(version), generation, None if deleted else {"status": status, "n": n})
                for pk, sk, version, generation, deleted, status, n in (
                    administrator.query(f"SELECT {names} FROM {name}") if known else []
                )
            }
            expected = self._model.tables[table]
            for key in sorted(rows.keys() | expected.keys()):
                if rows.get(key) != expected.get(key):
                    yield f"seed {self.seed}: {table} {key} is {rows.get(key)}, and not {expected.get(key)}"


@dataclass
class OnlyOf:
    """A connection that finds the rows of one history only, whose export is all that its sweep knows."""

    aurora: Aurora
    partition: str

    def stream(self, statement: str, values: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
        """Yield the rows whose first key is the history's."""
        return (row for row in self.aurora.stream(statement, values) if _text(row[0]) == self.partition)

    def query(self, statement: str, values: tuple[str, ...]) -> list[tuple[object, ...]]:
        """Return what a query finds."""
        return self.aurora.query(statement, values)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
