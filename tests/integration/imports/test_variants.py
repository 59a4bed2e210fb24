"""Imports into what Aurora may be: an answer without counts, notes, no load into temporary tables."""

import pytest

from dynaurora.aurora import sql
from dynaurora.aurora.staging import Staging
from dynaurora.aws.objects import S3Objects
from dynaurora.batches import import_batch as importing
from dynaurora.errors import DatabaseError, DatabaseUnavailableError, MalformedBatchError, TargetMismatchError
from local.aurora.variant import Variant
from tests.integration.imports.conftest import VariantOf
from tests.integration.targets import Target, row

pytestmark = pytest.mark.integration


def test_rows_are_counted_where_the_server_tells_no_counts(target: Target, variant_of: VariantOf) -> None:
    target = variant_of(target, Variant(omits_info=True))
    assert target.import_rows([row("a", 1, 1), row("b", 9, 9)]).rows_changed == 2
    batch = target.write([row("a", 2, 2), row("b", 8, 8), row("c", 1, 1), row("c", 1, 1), row("c", 2, 2)], 5)
    result = target.import_batch(batch)
    assert (result.rows_staged, result.rows_changed) == (5, 2)
    assert target.hits() == {"a": 2, "b": 9, "c": 2}
    assert target.ledger()[batch.id] == (5, 2)


@pytest.mark.parametrize("lines", [1, 2, 7])
def test_lines_that_are_there_twice_are_counted_twice(target: Target, variant_of: VariantOf, lines: int) -> None:
    target = variant_of(target, Variant(omits_info=True))
    same, other = [row("a", 2, 20)] * lines, [row("a", 2, 30), row("b", 1, 1)]
    result = target.import_batch(target.write([*same, *other], lines + 2))
    assert (result.rows_staged, result.rows_changed) == (lines + 2, 2)


def test_a_note_that_says_nothing_of_the_rows_is_passed_over(target: Target, variant_of: VariantOf) -> None:
    assert variant_of(target, Variant(adds_notes=True)).import_rows([row("a", 1, 1)]).rows_changed == 1


def test_a_note_that_a_value_was_cut_off_is_not(target: Target) -> None:
    with pytest.raises(MalformedBatchError, match="_version"):
        target.import_batch(target.write_bytes(b"0,1.5,a,b,1,2,start,end,NL\n"))


def test_a_server_that_does_not_load_into_the_recorded_kind_of_table_says_so(
    target: Target, variant_of: VariantOf, staging: Staging | None
) -> None:
    refusing = Variant(refuses_temporary_tables=staging is None, refuses_permanent_tables=staging is not None)
    with pytest.raises(DatabaseError, match="1235"):
        variant_of(target, refusing).import_rows([row("a", 1, 1)])
    assert target.ledger() == {}
    other = Variant(refuses_temporary_tables=staging is not None, refuses_permanent_tables=staging is None)
    assert variant_of(target, other).import_rows([row("a", 1, 1)]).status == "applied"


def test_staged_rows_that_change_before_the_merge_fail_the_import(
    target: Target, staging: Staging | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = importing.apply

    def change_and_apply(work, staged, merge_rows):  # type: ignore[no-untyped-def]
        with work.importer.aurora.transaction():
            work.importer.aurora.execute(f"{sql.empty_staged(target.mapping, staged.table)} LIMIT 1")
        return original(work, staged, merge_rows)

    with monkeypatch.context() as patch:
        patch.setattr(importing, "apply", change_and_apply)
        batch = target.write([row("a", 1, 1), row("b", 1, 1)], 2)
        with pytest.raises(DatabaseUnavailableError, match="1 are there"):
            target.import_batch(batch)
    assert (target.ledger(), target.hits()) == ({}, {})
    assert target.import_batch(batch).rows_changed == 2


def test_no_rows_are_left_where_they_were_staged(target: Target, staging: Staging | None) -> None:
    batch = target.write([row("a", 1, 1)])
    with target.connect() as aurora:
        importing.import_batch(batch, target.mapping, aurora, S3Objects(), target.bucket, target.keep_refused)
        if staging is None:
            with pytest.raises(TargetMismatchError, match="1146"):
                aurora.query(sql.select_row_count(target.mapping))
    for slot in range(1, (staging.tables if staging else 0) + 1):
        assert target.query(sql.select_row_count(target.mapping, sql.name_staged(target.mapping, slot))) == [(0,)]
