from backfill.failures.preview import describe_preview, preview_reprocess
from backfill.failures.reader import Selection
from tests.support import failure_factories as made
from tests.support.fakes import InMemoryObjects
from tests.support.read_failures import EVERYTHING


def preview(selection=EVERYTHING, **options):
    return preview_reprocess(made.make_reader(**options), selection)


def test_a_preview_tells_what_would_pass():
    document = preview().as_dict()
    assert document["objects"] == 6
    assert document["records"] == {"all": 5, "passes": 3, "refused": 2, "ignored": 0, "unjudged": 0}
    assert document["reasons"] == {"payload.Hits (type)": 2}
    assert document["batches"] == {"import": 1, "convert": 1, "forget": 0}
    assert document["errors"] == {"DatabaseError": 2}


def test_a_preview_is_shown():
    text = "\n".join(f"{name}: {value}" for name, value in describe_preview(preview()))
    for line in (
        "records: 5",
        "3 would pass",
        "2 would be refused again",
        "2 payload.Hits (type)",
        "1 to import again",
    ):
        assert line in text


def test_a_preview_without_a_mapping_only_counts():
    found = preview(judging=False)
    assert found.as_dict()["records"] == {"all": 5, "passes": 0, "refused": 0, "ignored": 0, "unjudged": 5}
    assert "not judged" in str(list(describe_preview(found)))


def test_a_preview_is_of_what_the_run_would_take_up():
    assert preview(Selection(prefix=made.BATCH_KEY)).as_dict()["objects"] == 1
    assert preview(store=InMemoryObjects()).failures == 0
