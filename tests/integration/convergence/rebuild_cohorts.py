"""Histories of rebuilds, side by side in one table, through the production's stream, backfill, sweep and switches."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from dynaurora.aurora import sql
from dynaurora.aurora.column_changes import Patience
from dynaurora.aurora.connection import Aurora, connect
from dynaurora.aurora.fills import settle_fills
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.mapping import Mapping
from dynaurora.target.change_mapping import apply_change
from tests.integration.convergence.rebuild_histories import (
    TABLE,
    RebuildHistory,
    RebuiltReplicas,
    draw_course,
    list_fills,
    list_replicas,
    make_mapping,
)
from tests.integration.convergence.target_cohorts import TargetCohort
from tests.integration.convergence.target_histories import Targets
from tests.integration.targets import empty


@dataclass
class RebuildCohort(TargetCohort):
    """So many histories of one course, all in a seed."""

    _model: RebuiltReplicas = field(default_factory=RebuiltReplicas)

    def run(self) -> list[str]:
        """Tell the histories; return the first things that went wrong, none where all did as they have to."""
        self._draw = random.Random(f"rebuild cohort {self.seed}")
        course = draw_course(self._draw)
        histories = [RebuildHistory(self.seed * 1000 + number, course, f"p{number}") for number in range(self.size)]
        with connect(self.place.endpoint, self.place.administrator) as administrator:
            self._begin(administrator)
            found: list[str] = []
            for number, targets in enumerate(course):
                if number in list_fills(course):
                    self._fill(administrator, histories, number)
                apply_change(administrator, self._make(targets), S3Objects(), self.place.bucket, Patience(5))
                self._model.activations.append(targets)
                self._stream_all(arrival for history in histories for arrival in history.steps[number])
                found += self._compare(administrator)
        found += [problem for history in histories for problem in history.find_differences(self._model)]
        return found[:3]

    def _make(self, targets: Targets) -> Mapping:
        return make_mapping(targets, self.place.database)

    def _begin(self, administrator: Aurora) -> None:
        for each in list_replicas(self.place.database):
            empty(administrator, each)
        administrator.execute(sql.drop_view(each))

    def _fill(self, administrator: Aurora, histories: list[RebuildHistory], number: int) -> None:
        """Have a backfill with a sweep fill the second table; the first one's tombstones are carried at the switch."""
        for history in histories:
            history.look_at(number)
            self._backfill(history, f"r{number}")
        settle_fills(administrator, self._mapping, f"r{number}", number)
        self._model.carry_tombstones()

    def _list_tables(self) -> Iterator[tuple[str, Mapping]]:
        return ((each.replica, each) for each in list_replicas(self.place.database))

    def _compare(self, administrator: Aurora) -> Iterator[str]:
        """Yield the keys whose rows are others than the model's; also what the view shows, which is of one table."""
        yield from super()._compare(administrator)
        served = self._mapping.replica
        table = f"{sql.quote(self.place.database)}.{sql.quote(TABLE)}"
        shown = {(pk, sk): n for pk, sk, n in administrator.query(f"SELECT pk, sk, n FROM {table}")}
        if shown != (expected := {key: item["n"] for key, item in self._model.visible(served).items()}):
            yield f"seed {self.seed}: the view shows {shown}, and not {expected} of {served}"
