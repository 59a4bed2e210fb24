"""Records that kill whatever maps them: neighbours arrive within one cycle, and they themselves are kept."""

import io
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.build_package import Target, build_package
from local.deployment import ARTIFACTS_BUCKET
from tests.drills.drill import Drill
from tests.integration.backfill.deployed import make_item, make_run_id

KILLS_MAPPING = "kills-what-maps"
KILLS_FUNCTION = "kills-what-has-it"
"""Pages whose items kill: by being mapped, in a sandbox or not, or by being in the hand of a function at all."""
TRAP = """

def _trap(method, find):
    def kill_or_do(self, *given):
        if find(*given):
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *given)
    return kill_or_do
"""
TRAPS = {
    "dynaurora/mappings/row_mapper.py": f"""
RowMapper.row = _trap(RowMapper.row, lambda change: "{KILLS_MAPPING}" in str(change.keys))
""",
    "dynaurora/mappings/compiled/row_writer.py": f"""
for _name in "write_items", "write_changes":
    _made = _trap(getattr(RowWriter, _name), lambda records, *_: any(b"{KILLS_FUNCTION}" in each for each in records))
    setattr(RowWriter, _name, _made)
RowWriter._write = _trap(RowWriter._write, lambda records, *_: any(b"{KILLS_MAPPING}" in each for each in records))
""",
}
"""Code that is added to the functions'."""
FUNCTIONS = ("TransformChanges", "ConvertFailures", "ConvertExport")


def test_records_that_kill_are_isolated(drill: Drill) -> None:
    deployed = drill.deployed
    items = drill.make_items(40, 5000)
    kinds = (KILLS_MAPPING, KILLS_FUNCTION) if drill.is_long else (KILLS_MAPPING,)  # the other one takes five deaths
    killers = [make_item(f"{drill.name}-{kind}") for kind in kinds]
    with deadly_functions(drill), drill.short_waits():
        with drill.consumer_off():
            deployed.put([*items[::2], *killers, *items[1::2]])
        drill.wait_until(drill.count_failed_records)  # packs, which Firehose keeps whole
        totals = drill.reprocess()
        assert (totals["rejected"], totals["records_parked"]) == (len(killers), 0)
        drill.wait_until(lambda: not missing(drill, items))
        assert count_kept(drill) == len(killers)
        run = make_run_id()
        assert deployed.backfill(run)["state"] == "SUCCEEDED"
        assert deployed.row(run)["rows_rejected"] == len(killers)
    drill.tell(f"{len(killers)} of {len(items):,} records killed what mapped them, and held back none of the others")
    drill.reprocess()
    drill.check_equal()
    drill.check_nothing_failed()


def missing(drill: Drill, items: list[dict[str, object]]) -> int:
    return len(items) - drill.deployed.compare().identical


def count_kept(drill: Drill) -> int:
    """How many records are kept as failed, each once."""
    found = [record for key in drill.reprocesses.list_failures() for record in drill.reprocesses.read_records(key)]
    return len({record.data for record in found})


@contextmanager
def deadly_functions(drill: Drill) -> Iterator[None]:
    """Deploy functions that die of some records, for a while."""
    package = build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local")).archive.read_bytes()
    update_functions(drill, set_traps(package))
    try:
        yield
    finally:
        update_functions(drill, package)


def set_traps(package: bytes) -> bytes:
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name.endswith(".pyc") and any(Path(trapped).stem in name for trapped in TRAPS):
                continue  # it is taken for the source, whatever that says
            trap = (TRAP + TRAPS[name]).encode() if name in TRAPS else b""
            new.writestr(name, old.read(name) + trap)
    return changed.getvalue()


def update_functions(drill: Drill, package: bytes) -> None:
    key = "drills/killers.zip"
    drill.deployed.client("s3").put_object(Bucket=ARTIFACTS_BUCKET, Key=key, Body=package)
    for function in FUNCTIONS:
        name = drill.deployed.outputs[f"{function}FunctionName"]
        drill.deployed.client("lambda").update_function_code(FunctionName=name, S3Bucket=ARTIFACTS_BUCKET, S3Key=key)
