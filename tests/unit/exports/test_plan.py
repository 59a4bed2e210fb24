from dataclasses import asdict

import pytest

from dynaurora.errors import InvalidExportError
from dynaurora.exports.plan import Plan, PlannedBatch, read_plan, read_whole_plan
from tests.support.export_factory import BUCKET, Export
from tests.support.factories import click_item, make_plan
from tests.support.fakes import InMemoryObjects
from tests.unit.exports.test_plan_backfill import plan


@pytest.mark.parametrize("entry", [None, {}, {"number": 1, "items": 1, "files": [{}]}, {"number": "x", "items": 1}])
def test_an_entry_that_is_no_batch_is_refused(entry):
    with pytest.raises(InvalidExportError):
        PlannedBatch.from_dict(entry)


def test_a_run_has_no_plan_before_it_is_planned():
    assert read_plan(InMemoryObjects(), BUCKET, "web_analytics", "r1") is None


def test_the_plan_of_a_run_is_read_as_it_was_made():
    export = Export().add("a", [click_item()]).write()
    planned = plan(export)
    assert read_plan(export.store, BUCKET, "web_analytics", "r1") == planned
    assert read_plan(export.store, BUCKET, "web_analytics", "r2") is None
    assert read_whole_plan(export.store, BUCKET, "web_analytics", "r1") == planned
    assert read_whole_plan(export.store, BUCKET, "web_analytics", "r2") is None
    export.store.delete(planned.bucket, planned.key)
    assert read_plan(export.store, BUCKET, "web_analytics", "r1") == planned
    assert read_whole_plan(export.store, BUCKET, "web_analytics", "r1") is None


@pytest.mark.parametrize("document", [None, [], {}, {"bucket": "landing"}, asdict(make_plan()) | {"more": 1}])
def test_what_is_not_what_a_plan_comes_to_is_refused(document):
    with pytest.raises(InvalidExportError, match="lacks a field"):
        Plan.from_dict(document)
