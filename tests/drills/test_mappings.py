"""A mapping that is deployed with a bug, and mended."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS
from dynaurora.exports.check_readiness import SETTLED_SECONDS
from dynaurora.mappings.mapping import build_mapping
from infra.build_package import Target, build_package
from local.deployment import ARTIFACTS_BUCKET
from tests.drills.drill import Drill
from tests.integration.backfill.deployed import MAPPING, Document, make_run_id

MOST_HITS = 4
MAPPING_FUNCTIONS = ("ForwardChanges", "TransformChanges", "ConvertFailures", "ConvertExport", "ImportBatch")
"""They look for the current mapping once a minute, and when they start."""


def test_a_mapping_is_deployed_with_a_bug_then_fixed_and_what_it_did_is_mended(drill: Drill) -> None:
    """It refuses whole items; in the long drill it also maps others to the wrong column, which nobody notices."""
    deployed = drill.deployed
    taken, refused = (drill.make_items(10, 2000, hits) for hits in (1, MOST_HITS + 1))
    items = [item for pair in zip(taken[::2], refused[1::2], strict=True) for item in pair]
    with deployed_mapping(drill, break_mapping(maps_wrongly=drill.is_long)):
        deployed.put(items)
        drill.wait_until(lambda: drill.count_failed_records() >= len(items) // 2)
        assert drill.reprocess()["rejected"] == len(items) // 2, "as long as the bug is deployed"
        drill.wait_until(lambda: len(deployed.hits()) == len(items) // 2)
    totals = drill.reprocess()
    assert (totals["rows_changed"], totals["rejected"]) == (len(items) // 2, 0)
    drill.tell(f"{len(items) // 2:,} of {len(items):,} records were refused by the bug, and mapped once it was fixed")
    if drill.is_long:
        mend_wrong_rows(drill, len(items) // 2)
    drill.check_equal()
    drill.check_nothing_failed()
    drill.deployed.forget_mappings()


def break_mapping(*, maps_wrongly: bool) -> Callable[[Document], None]:
    """Return what puts the bugs into a mapping."""

    def put_bugs(document: Document) -> None:
        document["schema"]["properties"]["payload"]["properties"]["Hits"]["maximum"] = MOST_HITS
        if maps_wrongly:
            columns = {column["name"]: column for column in document["target"]["columns"]}
            columns["country_code"]["from"] = "payload.device.make"

    return put_bugs


def mend_wrong_rows(drill: Drill, wrong: int) -> None:
    """Backfill over rows that are wrong: they are older than an export once its margin has passed."""
    assert drill.deployed.compare().differing == wrong
    time.sleep(SNAPSHOT_MARGIN_SECONDS + 2)
    drill.deployed.set_faults(age_mappings_seconds=SETTLED_SECONDS)  # the functions were made anew, and have it
    assert drill.deployed.backfill(make_run_id())["state"] == "SUCCEEDED"
    drill.tell(f"{wrong:,} rows had been mapped wrongly, and were mended by a backfill")


@contextmanager
def deployed_mapping(drill: Drill, change: Callable[[Document], object]) -> Iterator[None]:
    """Deploy another mapping for a while. The functions are made anew, so that they take it up at once."""
    document = json.loads(drill.deployed.mapping.text)
    change(document)
    drill.deployed.switch_mapping(build_mapping(MAPPING, document))
    make_functions_anew(drill)
    try:
        yield
    finally:
        drill.deployed.switch_mapping(drill.deployed.mapping)
        make_functions_anew(drill)


def make_functions_anew(drill: Drill) -> None:
    """Deploy the code of the functions that work by mappings once more."""
    target = Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local")
    code: dict[str, Any] = {"S3Bucket": ARTIFACTS_BUCKET, "S3Key": "drills/functions.zip"}
    drill.deployed.client("s3").put_object(
        Bucket=code["S3Bucket"], Key=code["S3Key"], Body=build_package(target).archive.read_bytes()
    )
    for function in MAPPING_FUNCTIONS:
        name = drill.deployed.outputs[f"{function}FunctionName"]
        drill.deployed.client("lambda").update_function_code(FunctionName=name, **code)
