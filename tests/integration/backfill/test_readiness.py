"""A table that is not ready: the run says everything that is in the way, and what to do, before it starts anything."""

import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest

from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS
from tests.integration.backfill.deployed import Deployed, make_items
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

OTHER_MAPPING = str(uuid.UUID(int=0))


def mend_stream(deployed: Deployed) -> None:
    deployed.replace_stream()


def stop_recovery(deployed: Deployed) -> None:
    deployed.set_recovery(enabled=False)


def start_recovery(deployed: Deployed) -> None:
    deployed.set_recovery(enabled=True)


def show_keys_only(deployed: Deployed) -> None:
    deployed.stop_stream()
    deployed.read_stream(deployed.start_stream("KEYS_ONLY"))


def read_another_stream(deployed: Deployed) -> None:
    deployed.stop_stream()
    deployed.start_stream()


def disable_mapping(deployed: Deployed) -> None:
    deployed.enable_event_source_mapping(enabled=False)


def enable_mapping(deployed: Deployed) -> None:
    deployed.enable_event_source_mapping(enabled=True)


def name_another_mapping(deployed: Deployed) -> None:
    deployed.register_reader(OTHER_MAPPING)


def name_the_mapping(deployed: Deployed) -> None:
    deployed.register_reader(deployed.event_source_mapping)


def name_another_table(deployed: Deployed) -> None:
    deployed.change_registered(lambda known: replace(known, table_arn=known.table_arn + "_of_others"))


def name_the_table(deployed: Deployed) -> None:
    deployed.change_registered(lambda known: replace(known, table_arn=known.table_arn.removesuffix("_of_others")))


Act = Callable[[Deployed], None]
FAULTS: dict[str, tuple[Act, Act, tuple[str, ...]]] = {
    "recovery is off": (stop_recovery, start_recovery, ("recovery is off", "update-continuous-backups")),
    "stream is off": (Deployed.stop_stream, mend_stream, ("its stream is off", "update-table")),
    "stream shows keys only": (show_keys_only, mend_stream, ("view is KEYS_ONLY", "NEW_AND_OLD_IMAGES")),
    "mapping reads another stream": (read_another_stream, mend_stream, ("and the table's stream is", "deploy")),
    "mapping is disabled": (disable_mapping, enable_mapping, ("is Disabled", "`dynaurora resume web_analytics`")),
    "mapping is missing": (name_another_mapping, name_the_mapping, (OTHER_MAPPING, "deploy the stack")),
    "table is missing": (name_another_table, name_the_table, ("no table web_analytics_of_others", "SourceTableName")),
}


@pytest.mark.parametrize(("spoil", "mend", "words"), FAULTS.values(), ids=FAULTS)
def test_a_run_says_what_its_source_lacks_and_goes_on_once_that_is_mended(
    deployed: Deployed, run: str, spoil: Act, mend: Act, words: tuple[str, ...]
) -> None:
    deployed.put(make_items(4))
    spoil(deployed)
    try:
        view = deployed.backfill(run, status=1)
    finally:
        mend(deployed)
    assert view["failure"]["error"] == "NotReadyError"
    assert view["failure"]["remedy"] == "Nothing was started. Do what it says, then start the run again."
    report = deployed.check_failure(run, "NotReadyError", *words)
    assert report["export"] is None
    assert deployed.exports_of(run) == set()
    assert deployed.ledger(run) == []
    assert deployed.backfill(run)["rows"]["imported"] == 4


def test_everything_that_is_in_the_way_is_named_at_once(deployed: Deployed, run: str) -> None:
    stop_recovery(deployed)
    disable_mapping(deployed)
    deployed.stop_stream()
    try:
        deployed.backfill(run, status=1)
    finally:
        mend_stream(deployed)
        start_recovery(deployed)
    deployed.check_failure(run, "NotReadyError", "recovery is off", "stream is off", "is Disabled")


def test_a_mapping_that_was_just_enabled_is_waited_for(deployed: Deployed, run: str) -> None:
    deployed.put(make_items(4))
    disable_mapping(deployed)
    enable_mapping(deployed)
    deployed.set_faults(age_stream_mappings_seconds=0)
    execution = deployed.start(run)["execution"]
    wait_until(lambda: deployed.entered(execution).count("Wait for margin") >= 2)
    assert deployed.ask("status", run)["phase"] in {"checking", "waiting for margin"}
    assert deployed.exports_of(run) == set()
    deployed.set_faults(age_stream_mappings_seconds=SNAPSHOT_MARGIN_SECONDS)
    assert deployed.watch(run)["rows"]["imported"] == 4
    assert "waiting for margin" in [phase["name"] for phase in deployed.report(run)["phases"]]


def test_a_mapping_that_was_enabled_long_ago_is_not_waited_for(deployed: Deployed, run: str) -> None:
    view = deployed.backfill(run)
    assert "Wait for margin" not in deployed.entered(view["execution"]["arn"])
