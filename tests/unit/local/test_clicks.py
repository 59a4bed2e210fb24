from collections import Counter

import pytest

from dynaurora.dynamodb.changes import Change
from dynaurora.errors import RejectedChange
from dynaurora.mappings.row_mapper import RowMapper
from local.clicks import TEXTS, Click, Written, tell_seeded, tell_stories, write_stories
from tests.support.example import load_example

MAPPER = RowMapper(load_example())


def tell(changes: int = 4000, seed: int = 1, run: str = "run") -> list[Click]:
    return [click for story in tell_stories(changes, seed, run) for click in story]


def is_refused(click: Click) -> bool:
    if click.attributes is None:
        return False
    keys = {"page_id": {"S": click.page_id}, "activity_dt": {"S": click.activity_dt}}
    try:
        MAPPER.row(Change(1, 1, keys, keys | click.attributes))
    except RejectedChange:
        return True
    return False


@pytest.mark.parametrize("changes", [1, 2, 999, 1000])
def test_there_are_as_many_changes_as_asked_for(changes):
    assert len(tell(changes)) == changes


def test_the_same_seed_tells_the_same_and_another_another():
    assert tell() == tell()
    assert tell(seed=2) != tell()


def test_another_run_tells_the_same_keys_with_nothing_left_as_it_was():
    pairs = list(zip(tell(run="a"), tell(run="b"), strict=True))
    assert all((one.page_id, one.activity_dt) == (other.page_id, other.activity_dt) for one, other in pairs)
    assert all(one.attributes != other.attributes for one, other in pairs if one.attributes)


def test_one_payload_in_a_hundred_is_refused_and_is_known_to_be():
    clicks = tell()
    assert [click for click in clicks if is_refused(click)] == [click for click in clicks if click.is_bad]
    payloads = sum(click.attributes is not None for click in clicks)
    assert 0.005 < sum(click.is_bad for click in clicks) / payloads < 0.02


def test_stories_have_updates_deletes_and_inserts_after_deletes():
    acts = Counter(
        "".join("D" if click.attributes is None else "P" for click in story) for story in tell_stories(4000, 1, "run")
    )
    assert {"P", "PPPPP", "PD", "PDP", "PPDPP"} <= set(acts)


def test_only_what_is_there_is_deleted_and_nothing_is_written_twice_as_it_was():
    for story in tell_stories(4000, 1, "run"):
        there = None
        for click in story:
            assert click.attributes != there
            there = click.attributes


def test_unusual_texts_are_in_keys():
    found = "".join(click.page_id for click in tell())
    assert all(text in found for text in TEXTS)


def identify(click: Click) -> tuple[str, str]:
    return click.page_id, click.activity_dt


def test_seeded_items_are_updated_and_deleted_all_along():
    seeded = {identify(click) for story in tell_seeded(1000, 1, "run") for click in story}
    told = [click for story in tell_stories(4000, 1, "run", seeded=1000) for click in story]
    assert len(told) == 4000
    assert [click for click in told if identify(click) in seeded] == [click for click in told if click.is_sequel]
    for part in (told[:2000], told[2000:]):
        assert sum(click.is_sequel and click.attributes is not None for click in part) > 100
        assert sum(click.is_sequel and click.attributes is None for click in part) > 100
    untouched = seeded - {identify(click) for click in told}
    assert 300 < len(untouched) < 600


@pytest.mark.parametrize("seeded", [0, 1, 10, 100_000])
def test_any_number_of_items_may_be_seeded(seeded):
    told = [click for story in tell_stories(100, 1, "run", seeded=seeded) for click in story]
    assert len(told) == 100
    assert sum(click.is_sequel for click in told) <= 60


def test_no_change_leaves_a_seeded_item_as_it_was():
    there = {identify(click): click.attributes for (click,) in tell_seeded(500, 1, "run")}
    for story in tell_stories(2000, 1, "run", seeded=500):
        for click in story:
            assert click.attributes != there.get(identify(click))
            there[identify(click)] = click.attributes


def test_the_changes_of_seeded_items_are_counted_by_the_second():
    written = Written()
    write_stories(Table(), "clicks", tell_stories(1000, 1, "run", seeded=300), written)
    told = [click for story in tell_stories(1000, 1, "run", seeded=300) for click in story if click.is_sequel]
    assert written.updates.total() == sum(click.attributes is not None for click in told)
    assert written.deletes.total() == sum(click.attributes is None for click in told)


class Table:
    """A table in memory; it leaves the last change of every third call unprocessed, as DynamoDB may."""

    def __init__(self):
        self.items = {}
        self.calls = 0

    def batch_write_item(self, RequestItems):  # noqa: N803 (boto3's name)
        self.calls += 1
        ((table, requests),) = RequestItems.items()
        kept = requests[-1:] if self.calls % 3 == 0 and len(requests) > 1 else []
        for request in requests[: len(requests) - len(kept)]:
            key = request.get("DeleteRequest", {}).get("Key") or request["PutRequest"]["Item"]
            identity = key["page_id"]["S"], key["activity_dt"]["S"]
            self.items[identity] = request.get("PutRequest", {}).get("Item")
        return {"UnprocessedItems": {table: kept} if kept else {}}


def test_changes_of_a_key_are_written_in_order():
    table, written = Table(), Written()
    write_stories(table, "clicks", tell_stories(1000, 1, "run"), written)
    last = {(click.page_id, click.activity_dt): click.attributes for click in tell(1000)}
    assert set(table.items) == set(last)
    for identity, attributes in last.items():
        item = table.items[identity]
        assert (item is None) == (attributes is None)
        assert attributes is None or attributes.items() <= item.items()
    assert written.changes == 1000
    assert written.bad == sum(click.is_bad for click in tell(1000))


def test_a_writer_that_fails_ends_the_writing():
    class Broken:
        def batch_write_item(self, **_):
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        write_stories(Broken(), "clicks", tell_stories(1000, 1, "run"), Written())
