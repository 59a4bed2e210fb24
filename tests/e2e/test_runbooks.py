"""The runbooks, each followed to its end on a local AWS that has the fault it is about."""

import json
from pathlib import Path

import pytest

from local.running import connect_administrator
from tests.e2e.conftest import LocalAws
from tests.e2e.runbook_faults import Site, commit, copy_project, equip_with_editor
from tests.reader import Block, Reader

MAPPING_FILE = "mappings/web_analytics.json"
HITS = '"Hits": {"type": "integer"'
COUNTRY = '"from": "payload.device.location.country"'
DEVICE_MAKE = '{"name": "device_make", "type": "VARCHAR(60)", "from": "payload.device.make"}'
MAKE = '"from": "payload.device.make"'


@pytest.fixture(scope="module")
def running_site(local_aws: LocalAws) -> Site:
    return Site(local_aws)


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.clear()
    return running_site


def test_failed_records_are_growing(reader: Reader, site: Site) -> None:
    """An item is written wrongly, and the transformation fails while another one is."""
    for kept, (page, hits) in enumerate((("/terms", "13"), ("/pricing", "12")), 1):
        site.put(page, hits=hits)
        site.wait_until(lambda kept=kept: len(site.list_kept()) == kept)
    with site.failing_transformation():
        site.put("/about")
        site.wait_until(lambda: len(site.list_kept()) == 3)
    equip_with_editor(reader, r's/\\"Hits\\": \\"12\\"/\\"Hits\\": 12/')
    with reader.follow("docs/runbooks/failed-records.md") as walk:
        walk.through("Diagnose")
        walk.through("Mend the items")
        site.wait_until(lambda: site.rows("page_id", "hits") == [("/pricing", 12)])
        site.pass_hours(3)
        walk.through("Take them up")
        site.wait_for_message("docs/runbooks/failed-records.md")
        reader.export(FAILURE=site.find_failure())
        walk.through("Decide what is parked")
        walk.through("Verify")
    assert site.list_kept() == []
    site.put("/terms")
    site.wait_until_equal(3)


def test_batches_are_failing(reader: Reader, site: Site) -> None:
    """A column gets another name, then the loader loses a grant, then an event gets lost."""
    with site.renamed_column():
        site.put("/pricing")
        site.wait_until(lambda: len(site.list_kept()) == 1)
        with site.revoked_grants() as loader:
            reader.export(LOADER=loader)
            site.put("/about")
            site.wait_until(lambda: len(site.list_kept()) == 2)
            site.wait_for_message("docs/runbooks/failed-batches.md")
            follow_failed_batches(reader, site)
    site.wait_until_equal(3)
    assert site.list_kept() == []


def follow_failed_batches(reader: Reader, site: Site) -> None:
    with reader.follow("docs/runbooks/failed-batches.md") as walk:
        walk.through("Diagnose")
        walk.through("Import them again")
        landed = site.list_kept("processed")
        with site.unannounced_objects():
            site.put("/contact")
            site.wait_until(lambda: len(site.list_kept("processed")) > len(landed))
        (unannounced,) = set(site.list_kept("processed")) - set(landed)
        reader.export(OBJECT=unannounced)
        assert "[]" in walk.through("Start an import")
        walk.through("Verify")


def test_aurora_is_down(reader: Reader, site: Site) -> None:
    """It is away for longer than the retries of one batch last, and comes back while another one is retried."""
    with site.stopped_database() as start_database:
        with site.scaled_retries(0):
            site.put("/pricing")
            site.wait_until(site.list_kept)
        site.wait_for_message("docs/runbooks/aurora-down.md")
        with site.scaled_retries(0.05), reader.follow("docs/runbooks/aurora-down.md") as walk:
            site.put("/about")
            site.wait_until(site.pipeline.is_importing)
            walk.through("Diagnose")
            start_database()
            walk.through("Act")
            site.wait_until_equal(2)
            walk.through("Verify")
    assert site.list_kept() == []


def test_rows_are_late(reader: Reader, site: Site) -> None:
    """Somebody has disabled what reads the table's stream."""
    functions, uuid = site.aws.api.functions, site.aws.deployment.event_source_mapping
    functions.update_event_source_mapping(UUID=uuid, Enabled=False)
    site.wait_until(lambda: functions.get_event_source_mapping(UUID=uuid)["State"] == "Disabled")
    site.put("/pricing")
    with reader.follow("docs/runbooks/late-rows.md") as walk:
        walk.through("Diagnose")
        walk.through("Nothing is measured")
        site.wait_until_equal(1)
        walk.through("Verify")


def test_the_tables_differ(reader: Reader, site: Site) -> None:
    """Somebody has changed a row, deleted another and added a third, all of items of long ago."""
    for page in ("/about", "/contact", "/pricing"):
        site.put(page)
    site.wait_until_equal(3)
    with connect_administrator(site.aws.state) as aurora, aurora.transaction():
        aurora.execute("UPDATE Demo.WebAnalytics__replica SET _version = 1, hits = IF(page_id = '/about', 9, hits)")
        aurora.execute("UPDATE Demo.WebAnalytics__replica SET page_id = '/by-hand' WHERE page_id = '/contact'")
    reader.export(DYNAURORA_SETTLE_SECONDS="2")
    with reader.follow("docs/runbooks/differences.md") as walk:
        walk.through("Diagnose")
        walk.through("Act")
        walk.through("Verify")
    site.wait_until_equal(3)


def test_the_stream_lost_records(reader: Reader, site: Site) -> None:
    """Somebody has switched the table's stream off, and later on again: what was written meanwhile is in none."""
    reader.export(DYNAURORA_SETTLE_SECONDS="2")
    with site.lost_writes(), reader.follow("docs/runbooks/lost-records.md") as walk:
        walk.through("Diagnose")
        walk.through("Act")
        site.wait_until_equal(2)
        walk.through("Verify")
    assert site.rows("page_id", "hits") == [("/about", 7), ("/pricing", 1)]


def test_a_database_was_restored(reader: Reader, site: Site) -> None:
    """An item was written since, another one changed, and a third one deleted."""
    for page in ("/about", "/contact", "/pricing"):
        site.put(page)
    site.wait_until_equal(3)
    with site.restored_database() as since:
        site.put("/new")
        site.put("/about", hits=12)
        site.delete("/contact")
        site.wait_until_equal(3)
    assert site.rows("page_id", "hits") == [("/about", 1), ("/contact", 1), ("/pricing", 1)]
    reader.export(SINCE=since, DYNAURORA_SETTLE_SECONDS="2")
    with reader.follow("docs/runbooks/restored-database.md") as walk:
        walk.through("Diagnose")
        walk.through("Import it again")
        site.wait_until_equal(3)
        assert site.rows("page_id", "hits") == [("/about", 12), ("/new", 1), ("/pricing", 1)]
        walk.through("Verify")
    assert site.list_kept() == []


def test_a_wrong_mapping_was_deployed(reader: Reader, site: Site, tmp_path: Path) -> None:
    """It refuses what is right, and writes the make of a device where the country belongs."""
    project = copy_project(tmp_path / "project")
    mapping = project / MAPPING_FILE
    right = mapping.read_text("utf-8")
    assert HITS in right
    assert COUNTRY in right
    mapping.write_text(right.replace(HITS, f'{HITS}, "maximum": 100').replace(COUNTRY, MAKE), "utf-8")
    commit(project, "Bound the hits of a page")
    equip_with_editor(reader, 's/, "maximum": 100//', f"s/{MAKE}/{COUNTRY}/")
    reader.go_to(project)
    try:
        site.aws.run("up", DYNAURORA_PROJECT=str(project))
        site.start_reader_anew()
        site.put("/pricing", hits=1200)
        site.put("/about", hits=12)
        site.wait_until(lambda: site.list_kept() and site.rows("country_code") == [("Acme",)])
        with reader.follow("docs/runbooks/wrong-mapping.md") as walk:
            walk.through("Diagnose")
            walk.through("Take up what was refused")
            assert mapping.read_text("utf-8") == right
            assert site.rows("country_code") == [("Acme",), ("DE",)]
            site.pass_minutes(5)
            walk.through("Write wrong rows again")
            walk.through("Verify")
    finally:
        site.aws.run("up")
        site.start_reader_anew()
    site.wait_until_equal(2)
    assert site.list_kept() == []


def test_a_column_is_added(reader: Reader, site: Site, tmp_path: Path) -> None:
    """While items are written, from before the change until it is deployed."""
    project = copy_project(tmp_path / "project")
    equip_with_editor(reader, f'/"country_code"/s/$/,{DEVICE_MAKE}/')
    reader.go_to(project)
    try:
        site.put("/before")
        site.wait_until_equal(1)  # a table without rows has none to fill
        with site.visited() as visits, reader.follow("docs/runbooks/add-a-column.md") as walk:
            walk.through("Diagnose")
            walk.through("Apply it")
            walk.through("Deploy it")
            visits.stop()
            site.wait_until(lambda: len(site.rows("page_id")) == visits.count + 1)  # the new column is not filled yet
            site.put("/after")
            site.wait_until(lambda: ("/after",) in site.rows("page_id"))  # its reader takes the change up in a minute
            site.pass_minutes(5)
            walk.through("Fill the rows that are there")
            walk.through("Let a column go")
            walk.through("Verify")
        assert set(site.rows("device_make")) == {("Acme",)}
        assert site.list_kept() == []
    finally:
        site.aws.run("up")
        site.start_reader_anew()


def test_a_target_is_rebuilt_and_back(reader: Reader, site: Site, tmp_path: Path) -> None:
    """While items are written all the time, and read through the view, there and back."""
    equip_with_editor(reader, '/"hits"/s/INT/BIGINT/', '/"country_code"/s/country_code/country/')
    reader.go_to(copy_project(tmp_path / "project"))
    try:
        site.put("/before")
        site.wait_until_equal(1)
        with site.visited() as visits, site.read_all_the_time() as seen:
            with reader.follow("docs/rebuild.md") as walk:
                with site.passing_by_rebuilds():
                    walk.through("Rebuild")
                assert site.query_types("WebAnalytics")["hits"].startswith("bigint")
                with site.passing_by_rebuilds():
                    walk.through("Go back")
                walk.through("Drop what is left")
            destroyed = reader.run(Block("after", (), "dynaurora destroy web_analytics --dry-run"))
            for replica in ("WebAnalytics__replica", "WebAnalytics__replica_2"):
                assert f"stays  Demo.{replica} in Aurora, of a rebuild, about " in destroyed
            site.start_reader_anew()  # half an hour later nobody has a copy of the mapping before, or rows by it
            site.wait_until_taken_up()
            site.aws.query("UPDATE Demo._dynaurora_mappings SET activated_at = '2020-01-01'")
            reader.run(Block("after half an hour", (), "dynaurora mapping rebuild web_analytics --drop --yes"))
            assert site.list_replicas() == ["WebAnalytics__replica_3"]
            visits.stop()
            site.wait_until_equal(visits.count + 4)
        assert site.query_types("WebAnalytics")["hits"].startswith("int")
        assert not [each for each in seen if isinstance(each, Exception)], "there is a view at any time"
        assert site.list_kept() == []
    finally:
        site.forget_rebuilds()
        site.aws.run("up")
        site.start_reader_anew()


KILLED = """
dynaurora mapping rebuild web_analytics --yes > told 2>&1 &
until grep --quiet {text} told || ! kill -0 $! 2> /dev/null; do sleep 0.05; done
kill -KILL $! 2> /dev/null && echo killed || cat told
wait $! || true
"""


def test_a_rebuild_that_is_killed_at_each_step_goes_on(reader: Reader, site: Site, tmp_path: Path) -> None:
    equip_with_editor(reader, '/"hits"/s/INT/BIGINT/')
    reader.go_to(copy_project(tmp_path / "project"))
    try:
        site.put("/before")
        site.wait_until_equal(1)
        reader.run(Block("before", (), f"$EDITOR {MAPPING_FILE}"))
        with site.passing_by_rebuilds():
            for text in ("'write both[.]'", "'fill[.]'"):
                assert "killed" in reader.run(Block(f"killed at {text}", (), KILLED.format(text=text)))
            for text in ("SUCCEEDED", "'switch[.]'"):  # it may be through by then
                reader.run(Block(f"killed at {text}", (), KILLED.format(text=text)))
        ended = reader.run(Block("after", (), "dynaurora mapping rebuild web_analytics --yes"))
        assert "Done. Deploy web_analytics.json" in ended or "nothing to do" in ended
        assert site.read_active().replica == "WebAnalytics__replica_2"
        site.put("/after", hits=7)
        site.wait_until_equal(3)
        assert ("/after", 7) in site.rows("page_id", "hits")
        assert site.list_kept() == []
    finally:
        site.forget_rebuilds()
        site.aws.run("up")
        site.start_reader_anew()


def test_a_backfill(reader: Reader, site: Site) -> None:
    """A run failed, and another is stopped; then an earlier export is imported, and a row without an item is swept."""
    pages = [f"/about/{number}" for number in range(9)]
    for page in pages:
        site.put(page)
    site.put("/pricing", hits="12")
    site.wait_until(lambda: site.list_kept() and sorted(site.rows("page_id")) == [(page,) for page in pages])
    site.switch_recovery_off()
    reader.run(Block("before", (), "dynaurora backfill start web_analytics --watch", status=1))
    site.wait_for_message("docs/runbooks/backfill.md")
    with reader.follow("docs/runbooks/backfill.md") as walk:
        walk.through("Diagnose")
        walk.through("Watch")
        with site.held_exports():
            assert "STOPPED" in walk.through("Stop")
        walk.through("Verify")
    with reader.follow("docs/backfill.md") as walk:
        printed = walk.through("Read the report")
        assert json.JSONDecoder().raw_decode(printed)[0]["totals"]["rejected"] == 1
        assert "batch-000001.json" in printed
        assert "SUCCEEDED" in walk.through("Import an export that is there")
        site.delete("/pricing")
        site.leave_a_row_without_an_item()
        assert "1 row in 1 batch" in walk.through("Remove rows whose items are gone")
    site.wait_until_equal(len(pages))
    assert all("backfill/run=" in key or "refused/" in key for key in site.list_kept()), "of /pricing, all"


def test_a_table_was_deleted_and_created_again(reader: Reader, site: Site) -> None:
    """The table of that name is another one, with items of its own and without a stream that anybody reads."""
    site.put("/about")
    site.put("/contact")
    site.wait_until_equal(2)
    site.age_rows(3600)  # an export says nothing of what was written within the last two minutes
    site.create_table_again()
    reader.export(DYNAURORA_SETTLE_SECONDS="2")
    with reader.follow("docs/runbooks/table-recreated.md") as walk:
        walk.through("Read the new stream")
        site.read_new_stream()
        site.put("/pricing")
        walk.through("Bring its items")
        site.wait_until_equal(1)
        walk.through("Verify")
    assert site.rows("page_id") == [("/pricing",)]
