"""`dynaurora cost`, of numbers that are given: the same for people and for machines, and nothing is asked of AWS."""

import json
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands.cost import NOT_INCLUDED, PRICES
from tests.reader import Reader

NUMBERS = ("--items", "1e6", "--item-bytes", "500", "--writes-per-second", "100")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """A machine without a network, and a folder that is in no project."""

    def refuse(*_):
        raise AssertionError("something was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "DYNAURORA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments, status=0, **environment):
    answer = CliRunner().invoke(main, ["cost", *arguments], env=environment)
    assert answer.exit_code == status, answer.output
    return answer


def ask(*arguments):
    (line,) = run(*arguments, "--json").stdout.splitlines()
    return json.loads(line)


def test_machines_are_told_parts_services_and_what_it_rests_on():
    told = ask(*NUMBERS, "--verify-every", "7d")
    parts = {part["part"]: part["usd"] for part in told["parts"]}
    assert [*parts] == ["platform", "table at rest", "looks for failures", "changes", "backfills", "verifications"]
    assert told["usd"] == pytest.approx(sum(parts.values()), abs=0.001)
    assert told["usd"] == pytest.approx(sum(line["usd"] for line in told["services"]), abs=0.001)
    assert told["changes"] == 262_800_000
    assert told["items"] == {"value": 1e6, "source": "as given"}
    assert told["settings"]["verifications"]["value"] == pytest.approx(730 / 168)
    assert told["usd_of_recovery"] == 0.1  # of half a GB, at 0.20 dollars
    assert (told["prices"], told["not_included"]) == (PRICES, [*NOT_INCLUDED])


def test_people_are_told_the_same_on_eighty_columns():
    lines = run(*NUMBERS, "--tables", "3", COLUMNS="80").stdout.splitlines()
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    told = ask(*NUMBERS, "--tables", "3")
    (together,) = (line.split() for line in lines if line.startswith("together"))
    assert together[1] == f"{told['usd']:,.2f}"
    for words in (
        "788,400,000 changes",
        "3 backfills",
        "0 verifications",
        "3 tables at rest",
        "us-east-1",
        "Aurora's capacity",
    ):
        assert words in text
    assert "3 like this one, on one platform" in text


def test_a_longer_buffer_and_fewer_verifications_cost_less():
    def usd(*arguments):
        return ask("--items", "1e6", "--item-bytes", "500", "--writes-per-second", "1", *arguments)["usd"]

    assert usd("--buffer-seconds", "300") < usd() < usd("--buffer-seconds", "0")
    assert usd() < usd("--verify-every", "7d") < usd("--verify-every", "1d")
    assert usd("--backfills", "0") < usd()


def test_settings_are_those_of_the_project_that_is_worked_in(tmp_path):
    (tmp_path / "mappings").mkdir()
    given = '[platform.parameters]\nSubnetIds = "subnet-1"\nDatabaseHost = "db"\n'
    (tmp_path / "dynaurora.toml").write_text(given)
    (platform, *_) = ask(*NUMBERS)["parts"]
    assert "Interface endpoints" not in {line["what"] for line in platform["services"]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Name a MAPPING or a --table"),
        (("--items", "0"), "--items"),
        (("--items", "many"), "--items"),
        (("--items", "nan"), "--items"),
        ((*NUMBERS, "--item-bytes", "500000"), "--item-bytes"),
        ((*NUMBERS, "--buffer-seconds", "901"), "--buffer-seconds"),
        ((*NUMBERS, "--tables", "0"), "--tables"),
        ((*NUMBERS, "--verify-every", "weekly"), "--verify-every"),
        ((*NUMBERS, "--days", "3"), "--days"),
        (("orders", "--table", "Orders"), "leave out --table"),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_status_2_and_says_what_is_wrong(arguments, says):
    assert says in run(*arguments, status=2).stderr
    assert says in json.loads(run(*arguments, "--json", status=2).stdout)["error"]


def test_its_mapping_is_completed(tmp_path):
    (tmp_path / "mappings").mkdir()
    (tmp_path / "dynaurora.toml").touch()
    for name in ("orders", "devices"):
        (tmp_path / "mappings" / f"{name}.json").touch()
    words = {"_MAIN_COMPLETE": "bash_complete", "COMP_WORDS": "main cost o", "COMP_CWORD": "2"}
    assert CliRunner().invoke(main, [], env=words).stdout.split() == ["plain,orders"]


def test_a_mapping_that_is_not_there_is_named(tmp_path):
    assert "'orders'" in run("orders", *NUMBERS, status=1).stderr


def test_the_page_is_followed_by_somebody_without_an_account(tmp_path):
    reader = Reader(tmp_path, tmp_path / "state", programs=(Path(sys.executable).parent,))
    with reader.follow("docs/cost.md") as walk:
        printed = walk.through("A table of yours")
    assert "262,800,000 changes" in printed
