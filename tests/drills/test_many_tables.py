"""Many tables on one platform: each gets its own changes, through functions that all of them share."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from backfill.cli import main
from dynaurora.mappings.mapping import Mapping, build_mapping
from infra.build_package import TEMPLATES_PACKAGE, Target, build_package
from infra.packaging import Packager
from infra.places import ROOT
from local.deployment import ARTIFACTS_BUCKET, STACK_NAME, Platform, deploy_replication, name_replication
from tests.drills.drill import Drill

DEPLOYED_WITHIN_SECONDS = 300.0
"""A hundred replications, on two processors that do nothing else."""
TOLD_WITHIN_SECONDS = 30.0
"""How a hundred replications stand, by an AWS that is one process of this machine."""
DEPLOYERS = 4


def test_each_of_many_tables_gets_its_own_changes_while_mappings_change(drill: Drill) -> None:
    names = [f"table_{number:03}" for number in range(drill.size(4, 100))]
    changed = names[:: drill.size(3, 10)]
    with deployed_replications(drill, names) as platform:
        write(drill, names, "first")
        wait_for_rows(drill, names, "first")
        write(drill, names, "second")
        for name in changed:  # while what was written is on its way
            deploy(drill, platform, make_mapping(name, is_changed=True))
        write(drill, names, "third")
        wait_for_rows(drill, names, "second", "third")
        if not drill.is_long:  # it would take a minute
            begin_anew(drill, changed)
        drill.wait_until(lambda: all(takes_up(drill, name) for name in changed))
        write(drill, names, "refused", number="no number")
        drill.wait_until(lambda: count_kept(drill) == dict.fromkeys(names, 1))
        check_status(drill, names)
        drill.tell(measure_memory(drill), "memory")


@contextmanager
def deployed_replications(drill: Drill, names: list[str]) -> Iterator[Platform]:
    """Deploy a replication of each name beside the one that is there, and take all of them away in the end."""
    deployed = drill.deployed
    archive = build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local")).archive
    packager = Packager(deployed.api.s3, ARTIFACTS_BUCKET, {ROOT / "build" / TEMPLATES_PACKAGE: archive})
    platform = Platform(STACK_NAME, deployed.outputs, packager)
    started = time.monotonic()
    try:
        with ThreadPoolExecutor(DEPLOYERS) as deployers:
            list(deployers.map(lambda name: deploy(drill, platform, make_mapping(name)), names))
        took = time.monotonic() - started
        drill.tell(f"{len(names)} replications were deployed in {took:.0f} s", "deployed")
        assert took < DEPLOYED_WITHIN_SECONDS or not drill.is_long
        yield platform
    finally:
        for name in names:
            deployed.api.cloudformation.delete_stack(StackName=name_replication(name))
        drill.wait_until(lambda: not any(is_there(drill, name) for name in names))
        for name in names:
            deployed.api.dynamodb.delete_table(TableName=name)


def deploy(drill: Drill, platform: Platform, mapping: Mapping) -> None:
    deploy_replication(drill.deployed.api, platform, mapping, report=lambda _: None)


def make_mapping(name: str, *, is_changed: bool = False) -> Mapping:
    """Return a mapping of a table whose every name is its own: one that is taken for another takes no row of it."""
    columns = [
        {"name": "id", "type": "VARCHAR(64)", "from": f"id_{name}"},
        {"name": f"own_{name}", "type": "VARCHAR(64)", "from": f"own_{name}"},
        {"name": "number", "type": "BIGINT", "from": "number"},
        *([{"name": "added", "type": "VARCHAR(64)", "from": "added"}] if is_changed else []),
    ]
    document = {
        "source": {"table": name, "partition_key": f"id_{name}"},
        "schema": {"type": "object", "required": [f"own_{name}"]},
        "target": {"database": "Demo", "table": name, "columns": columns, "unmapped": "ignore"},
    }
    return build_mapping(name, document)


def write(drill: Drill, names: list[str], key: str, number: str = "") -> None:
    """Write an item of one key into each table."""
    for position, name in enumerate(names):
        value = {"S": number} if number else {"N": str(position)}
        item = {f"id_{name}": {"S": key}, f"own_{name}": {"S": name}, "number": value, "added": {"S": key}}
        drill.deployed.api.dynamodb.put_item(TableName=name, Item=item)  # type: ignore[arg-type]


def wait_for_rows(drill: Drill, names: list[str], *keys: str) -> None:
    """Return once each table's rows of some keys are there, and are its own."""
    rows = {name: sorted((key, name, position) for key in keys) for position, name in enumerate(names)}
    drill.wait_until(lambda: all(read_rows(drill, name, keys) == rows[name] for name in names))


def read_rows(drill: Drill, name: str, keys: tuple[str, ...]) -> list[tuple[Any, ...]]:
    wanted = ", ".join(["%s"] * len(keys))
    statement = f"SELECT id, own_{name}, number FROM Demo.{name} WHERE id IN ({wanted}) ORDER BY id"
    return list(drill.deployed.query(statement, *keys))


def begin_anew(drill: Drill, names: list[str]) -> None:
    """Have the readers of tables begin with new processes, which take the current mapping up at once."""
    functions = drill.deployed.client("lambda")
    for name in names:
        reader = f"{name_replication(name)}-forward-changes"
        variables = functions.get_function_configuration(FunctionName=reader)["Environment"]["Variables"]
        functions.update_function_configuration(
            FunctionName=reader, Environment={"Variables": variables | {"BEGUN": f"{time.time()}"}}
        )


def takes_up(drill: Drill, name: str) -> bool:
    """Tell whether a table's changed mapping is the one that its changes are mapped by."""
    write(drill, [name], f"{time.monotonic()}")
    return bool(drill.deployed.query(f"SELECT id FROM Demo.{name} WHERE added = id"))


def count_kept(drill: Drill) -> dict[str, int]:
    """Return what is kept as failed of each of the many tables, as the one function measures that looks at all."""
    functions, output = drill.deployed.client("lambda"), drill.deployed.outputs["MeasureHealthFunctionName"]
    measured = json.load(functions.invoke(FunctionName=output, Payload=b"{}")["Payload"])["replications"]
    return {name: one["failures_kept"] for name, one in measured.items() if name.startswith("table_")}


def check_status(drill: Drill, names: list[str]) -> None:
    """Check that `dynaurora status` tells how each of the many tables stands, in time."""
    started = time.monotonic()
    answer = CliRunner().invoke(main, ["status", "--json"])
    took = time.monotonic() - started
    assert answer.exit_code == 1, answer.output
    told = {found["mapping"]: found for found in map(json.loads, answer.stdout.splitlines())}
    assert told.keys() >= set(names)
    for name in names:
        found = told[name]
        assert (found["reader"], found["failed"], found["parked"]) == ("on", 1, 0)
        assert found["rows"] >= 3
        assert [each["next"] for each in found["todo"]] == [
            f"dynaurora failures count {name}",
            f"dynaurora backfill start {name} --watch",
            f"dynaurora verify {name}",
        ]
    drill.tell(f"how {len(told)} replications stand was told in {took:.1f} s", "status")
    assert took < TOLD_WITHIN_SECONDS or not drill.is_long


def is_there(drill: Drill, name: str) -> bool:
    pages = drill.deployed.api.cloudformation.get_paginator("list_stacks").paginate()
    found = [
        stack for page in pages for stack in page["StackSummaries"] if stack["StackName"] == name_replication(name)
    ]
    return any(stack["StackStatus"] != "DELETE_COMPLETE" for stack in found)


def measure_memory(drill: Drill) -> str:
    """Say how many processes the local AWS has, and what memory: what they share is counted once."""
    emulator = drill.deployed.stack.emulator.process.pid
    parents = {int(path.name): read_parent(path) for path in Path("/proc").glob("[0-9]*")}
    processes = [pid for pid in parents if emulator in {pid, parents[pid]}]
    kilobytes = sum(read_share(Path("/proc") / str(pid)) for pid in processes)
    return f"the emulator and {len(processes) - 1} functions' processes took {kilobytes / 1024:,.0f} MB"


def read_parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def read_share(process: Path) -> int:
    """Return a process's share of the memory that it uses, in kB (proc(5), `smaps_rollup`, Pss)."""
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
