"""A few hundred of the histories that `make soak` tells, and what telling them is worth."""

import pytest

from dynaurora.stream import forward_changes
from tests.integration.convergence import soak
from tests.integration.convergence.cohorts import Cohort, Place
from tests.integration.convergence.gaps import Filling
from tests.integration.convergence.mutants import remove_guard_from_merge

pytestmark = pytest.mark.integration

SIZE = 150


@pytest.mark.parametrize("first", [1, 1 + SIZE])
def test_every_history_ends_in_its_items(place: Place, first: int) -> None:
    assert Cohort(place, first, SIZE).run() == []


def test_histories_reach_every_part(place: Place) -> None:
    cohort = Cohort(place, 1, 100)
    cohort.run()
    works = cohort.works
    rows = dict.fromkeys(("stream", "backfill", "reprocess", "repair", "sweep"), 0)
    for work in works:
        for _, parcel in work.parcels:
            rows[parcel.source] += len(parcel.lines)
    assert all(rows.values()), rows
    assert any(work.attempts > 1 for work in works)
    assert any("already_applied" in work.statuses for work in works)
    assert any(len(work.batch.objects) > 1 for work in works)
    keys = [item.key for work in works for item in work.batch.objects]
    assert len(set(keys)) < len(keys), "no object was written over"
    assert {history.gap and history.gap.filling for history in cohort.histories} == {None, *Filling}


def test_a_history_is_all_in_its_seed(place: Place) -> None:
    one, two = (Cohort(place, 7, 1).histories[0] for _ in range(2))
    assert one.story == two.story
    assert one.table.writes == two.table.writes


def test_a_soak_counts_its_histories(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.soak(place, 1, 20) == (20, 0)
    assert capsys.readouterr().out == ""


def test_a_failure_is_printed_with_what_tells_it_again(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_guard_from_merge(monkeypatch.setattr)
    told, failed = soak.soak(place, 1, 6)
    assert told == 6
    assert failed > 0
    printed = capsys.readouterr().out
    reported = min(failed, soak.MAX_FAILURES)
    assert printed.count("FAILED seed=") == printed.count("again: make soak SEED=") == reported


def test_a_failure_that_is_told_again_is_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    remove_guard_from_merge(monkeypatch.setattr)
    told = [[str(failure) for failure in soak.tell(place, 3, 1)] for _ in range(3)]
    assert told[0] == told[1] == told[2] != []


def test_whatever_a_history_raises_is_its_failure(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise KeyError("not foreseen")

    monkeypatch.setattr(forward_changes, "encode_change", fail)
    told, failed = soak.soak(place, 1, 6)
    assert told == 6
    assert failed > 0
    assert "KeyError: 'not foreseen'" in capsys.readouterr().out


def test_a_cohort_that_cannot_be_told_is_a_failure(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "prepare", lambda _place: 1 / 0)
    assert soak.soak(place, 1, 2) == (2, 1)
    assert "FAILED seed=1, telling: ZeroDivisionError" in capsys.readouterr().out
