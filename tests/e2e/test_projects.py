"""Projects on the local AWS: two at once, each with mappings, tables and files of its own, and nothing left of one."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.running import export_variables
from tests.e2e.conftest import DYNAURORA, LocalAws, run_dynaurora
from tests.support.factories import column, mapping_document


class Shop:
    """A project, made by `dynaurora init`, in which commands are run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.aws = LocalAws(root / ".local")
        self.variables: dict[str, str] = {}
        self.outside("init", str(root))

    def outside(self, *arguments: str, status: int = 0) -> str:
        """Run a command where no project is, and return what it printed."""
        return run_dynaurora(self.root.parent, self.environment, *arguments, status=status)

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command in the project."""
        return run_dynaurora(self.root, self.environment, *arguments, status=status)

    def enter(self) -> None:
        """Have later commands reach the local AWS, as `eval "$(dynaurora local env)"` does."""
        self.variables = export_variables(self.aws.state, self.root / ".local")

    def start(self, *arguments: str) -> "Command":
        """Start a command, and do not wait for it."""
        return Command(self, arguments)

    @property
    def environment(self) -> dict[str, str]:
        """That of commands."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AUTH"))}
        return inherited | self.variables

    def add(self, name: str, document: dict[str, Any], *items: dict[str, Any]) -> str:
        """Write a mapping and a file of items, and return the file's name."""
        (self.root / "mappings" / f"{name}.json").write_text(json.dumps(document))
        lines = "".join(f"{json.dumps({'Item': item})}\n" for item in items)
        (self.root / f"{name}.jsonl").write_text(lines)
        return f"{name}.jsonl"

    def list_left(self) -> set[str]:
        """Return what is in the project that nobody put there."""
        made = {"dynaurora.toml", "README.md", ".gitignore", "mappings"}
        return {path.name for path in self.root.iterdir() if path.suffix != ".jsonl"} - made


class Command:
    """A command that runs in a project."""

    def __init__(self, shop: Shop, arguments: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            [DYNAURORA, *arguments], cwd=shop.root, env=shop.environment, stderr=subprocess.PIPE, text=True
        )

    def wait_for(self, text: str) -> None:
        """Return once it says a text."""
        assert self._process.stderr
        assert any(text in line for line in self._process.stderr), text

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


def make_mapping(table: str, key: str, key_type: str, sort: str | None = None) -> dict[str, Any]:
    document = mapping_document(column("total", "DECIMAL(12,2)"), key_type=key_type, unmapped={"column": "rest"})
    keys = {"partition_key": key} | ({"sort_key": sort} if sort else {})
    columns = [column(key, key_type), *([column(sort, "BIGINT")] if sort else []), column("total", "DECIMAL(12,2)")]
    target = document["target"] | {"database": "Shop", "table": table.title(), "columns": columns}
    return document | {"source": {"table": table, **keys}, "target": target}


def test_two_projects_at_once_from_their_beginning_to_their_end(shop: Shop, tmp_path: Path) -> None:
    orders = [{"order": {"S": f"o{n}"}, "total": {"N": "12.5"}, "lines": {"L": [{"N": "1"}]}} for n in range(40)]
    devices = [{"device": {"N": f"{n}.50"}, "at": {"N": f"{n}"}, "raw": {"B": "AAE="}} for n in range(30)]
    shop.add("orders", make_mapping("orders", "order", "VARCHAR(40)"), *orders)
    shop.add("devices", make_mapping("devices", "device", "DECIMAL(20,4)", "at"), *devices)
    other = Shop(tmp_path / "other")
    other.add("orders", make_mapping("orders", "order", "VARCHAR(40)"), *orders[:3])
    try:
        printed = shop.run("local", "up", "--items", "orders.jsonl", "--items", "devices=devices.jsonl", "--json")
        elsewhere = json.loads(other.run("local", "up", "--items", "orders.jsonl", "--json"))
        assert printed.count("\n") == 1
        where = json.loads(printed)
        assert where["endpoint_url"] != elsewhere["endpoint_url"]
        assert {name: (place["table"], place["targets"]) for name, place in where["replications"].items()} == {
            "orders": ("orders", [{"database": "Shop", "table": "Orders"}]),
            "devices": ("devices", [{"database": "Shop", "table": "Devices"}]),
        }
        assert "table" not in where
        assert elsewhere["table"] == elsewhere["replications"]["orders"]["table"] == "orders"
        described = shop.aws.api.dynamodb.describe_table(TableName="devices")["Table"]
        assert {entry["AttributeType"] for entry in described["AttributeDefinitions"]} == {"N"}

        found = json.loads(shop.run("local", "compare", "--json"))
        assert {name: (each["items"], each["identical"]) for name, each in found.items()} == {
            "devices": (30, 30),
            "orders": (40, 40),
        }
        assert json.loads(other.run("local", "compare", "--json"))["orders"]["identical"] == 3
        assert shop.aws.query("SELECT SUM(total), MIN(JSON_VALUE(rest, '$.lines[0]')) FROM Shop.Orders") == [(500, "1")]

        shop.aws.query("DELETE FROM Shop.Orders__replica WHERE `order` = 'o7'")
        differing = shop.run("local", "compare", "orders", status=1)
        assert "orders: an item has no row" in differing

        assert "Stopped." in other.run("local", "down")
        assert other.list_left() == set()
        assert other.aws.processes() == {}
        assert json.loads(shop.run("local", "status", "--json"))["replications"]["devices"]["pipeline"]["rows"] == 30
    finally:
        shop.run("local", "down"), other.run("local", "down")
    assert shop.list_left() == set()
    assert shop.aws.processes() == {}


def test_a_project_is_deployed_changed_and_destroyed_by_commands(shop: Shop) -> None:
    order = {"order": {"S": "o1"}, "total": {"N": "12.5"}}
    shop.add("orders", make_mapping("orders", "order", "VARCHAR(40)"), order)
    shop.run("local", "up", "--items", "orders.jsonl")
    try:
        shop.enter()
        shop.add("devices", make_mapping("devices", "device", "DECIMAL(20,4)", "at"))
        planned = json.loads(shop.run("deploy", "--dry-run", "--json"))
        assert planned["platform"]["action"] == "keep"
        assert [(step["stack"], step["action"]) for step in planned["replications"]] == [
            ("dynaurora-devices", "create"),
            ("dynaurora-orders", "keep"),
        ]
        assert planned["replications"][0]["source"].startswith("create the table devices (device N, at N)")
        assert planned["deployed"] == []

        killed = shop.start("deploy", "--yes")
        killed.wait_for("dynaurora-devices: CREATE_COMPLETE")
        killed.kill()
        said = shop.run("deploy", "--yes")
        assert "replication dynaurora-orders: keep" in said
        assert json.loads(shop.run("deploy", "--yes", "--json"))["deployed"] == []
        assert shop.aws.api.dynamodb.describe_table(TableName="devices")["Table"]["TableStatus"] == "ACTIVE"

        changed = make_mapping("orders", "order", "VARCHAR(60)")
        changed["target"]["columns"].append(column("note", "VARCHAR(20)"))
        shop.add("orders", changed, order | {"note": {"S": "a gift"}})
        shop.run("pause", "orders")
        told = shop.run("deploy", "orders", "--yes")
        assert "orders is paused since 20" in told
        assert "Deployed: dynaurora-orders." in told
        paused, fine = (json.loads(line) for line in reversed(shop.run("status", "--json", status=1).splitlines()))
        assert (paused["mapping"], paused["reader"]) == ("orders", "paused")
        assert paused["todo"][0]["next"].endswith("dynaurora resume orders")
        assert (fine["mapping"], fine["reader"]) == ("devices", "on")
        shop.run("resume", "--all")
        changed["target"]["columns"][1]["type"] = "DECIMAL(4,2)"
        shop.add("orders", changed, order)
        refused = shop.run("deploy", "orders", "--yes", status=1)
        assert "Nothing was deployed. Refused: orders: total" in refused

        goes = json.loads(shop.run("destroy", "devices", "--yes", "--json"))["goes"]
        assert goes == ["the stack dynaurora-devices"]
        assert "devices" in shop.aws.api.dynamodb.list_tables()["TableNames"]
        assert "There is no stack dynaurora-devices" in shop.run("destroy", "devices", "--yes", status=2)
        assert json.loads(shop.run("deploy", "devices", "--yes", "--json"))["deployed"] == ["dynaurora-devices"]
        assert shop.aws.query("SELECT COUNT(*) FROM Shop.Devices") == [(0,)]
    finally:
        shop.run("local", "down")
    assert shop.aws.processes() == {}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--items", "devices.jsonl"), 2, "no mapping is named 'devices'; there are: orders. Say whose items they are"),
        (("--items", "orders=nowhere.jsonl"), 2, "there is no file nowhere.jsonl"),
        (("--items", "orders.jsonl"), 1, "line 2: it has no order, which is a key of orders"),
        (("--seed",), 2, "this project has not its mapping"),
    ],
)
def test_items_that_belong_nowhere_are_told_before_a_stack_is_made(
    shop: Shop, arguments: tuple[str, ...], status: int, says: str
) -> None:
    shop.add("orders", make_mapping("orders", "order", "VARCHAR(40)"), {"order": {"S": "o1"}}, {"n": {"N": "1"}})
    assert says in shop.run("local", "up", *arguments, status=status)
    assert shop.aws.processes() == {}
