"""A project is found, read, and decides what commands do; what does not hold is named."""

import json
import os

import click
import pytest
from click.testing import CliRunner

from backfill import project as projects
from backfill.cli import main
from backfill.deployment.deployments import is_own
from backfill.project import EXAMPLE, FILE, current_project, find_project, read_project
from backfill.terminal.console import WrongUseError
from tests.support.factories import column, mapping_document


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """A machine that says nothing of AWS, and a folder that is in no project."""
    for name in ("AWS_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "DYNAURORA_PROJECT", "DYNAURORA_LOCAL_DIRECTORY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def make_project(root, text="", **mappings):
    (root / "mappings").mkdir(parents=True)
    (root / FILE).write_text(text)
    for name, document in mappings.items():
        (root / "mappings" / f"{name}.json").write_text(json.dumps(document))
    return root


def show(*arguments):
    """Run a command that shows what project it works in."""

    @click.command()
    @click.option("--every", type=float, default=3.0)
    def shown(every):
        project = current_project()
        names = ("AWS_REGION", "AWS_PROFILE")
        document = {name: os.environ.get(name) for name in names} | {"root": str(project.root), "every": every}
        click.echo(json.dumps(document))

    main.add_command(shown)
    try:
        answer = CliRunner().invoke(main, [*arguments, "shown"])
    finally:
        del main.commands["shown"]
    return json.loads(answer.stdout) if answer.exit_code == 0 else answer


def test_a_project_is_found_from_the_working_directory_upwards(tmp_path, monkeypatch):
    root = make_project(tmp_path / "shop")
    (root / "data" / "deep").mkdir(parents=True)
    monkeypatch.chdir(root / "data" / "deep")
    assert show()["root"] == str(root)
    assert current_project().state_directory == root / ".local"


def test_a_project_can_be_named(tmp_path, monkeypatch):
    make_project(tmp_path / "one"), make_project(tmp_path / "two")
    monkeypatch.chdir(tmp_path / "one")
    assert show("--project", "../two")["root"] == str(tmp_path / "one" / ".." / "two")
    monkeypatch.setenv("DYNAURORA_PROJECT", str(tmp_path / "two"))
    assert show()["root"] == str(tmp_path / "two")


def test_a_named_folder_that_is_no_project_is_wrong_use(tmp_path):
    answer = show("--project", str(tmp_path))
    assert answer.exit_code == 2
    assert f"{tmp_path} is no project: it has no dynaurora.toml" in answer.stderr


def test_in_a_clone_the_example_stands_in_and_keeps_its_files_in_the_clone():
    project = find_project()
    assert (project.root, project.is_stand_in) == (EXAMPLE, True)
    assert project.state_directory == EXAMPLE.parents[1] / ".local"
    assert project.mapping_names() == ["web_analytics"]


def test_where_there_is_none_it_is_said_how_to_make_one(monkeypatch, tmp_path):
    monkeypatch.setattr(projects, "CLONE", tmp_path)
    with pytest.raises(WrongUseError, match=r"no dynaurora.toml in .* or above it. Make one with `dynaurora init`"):
        current_project()


def test_region_profile_and_defaults_are_the_files(tmp_path, monkeypatch):
    root = make_project(
        tmp_path / "shop", '[platform]\nregion = "eu-central-1"\nprofile = "shop"\n[defaults]\nevery = 0.5\n'
    )
    monkeypatch.chdir(root)
    assert show() == {"AWS_REGION": "eu-central-1", "AWS_PROFILE": "shop", "root": str(root), "every": 0.5}


def test_what_the_environment_says_of_aws_counts_before_the_file(tmp_path, monkeypatch):
    root = make_project(tmp_path / "shop", '[platform]\nregion = "eu-central-1"\nprofile = "shop"\n')
    monkeypatch.chdir(root)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    shown = show()
    assert (shown["AWS_REGION"], shown["AWS_PROFILE"]) == ("us-east-1", None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[platform\n", "cannot be read as TOML"),
        ("[platfrom]\n", r"'platfrom' is not known \(did you mean 'platform'\?\)"),
        ('[platform]\nstak = "a"\n', r"'stak' in \[platform\] is not known \(did you mean 'stack'\?\)"),
        ("[defaults]\nzzz = 1\n", r"'zzz' in \[defaults\] is not known; there are: engine, every, max_concurrency"),
        ("platform = 1\n", r"'platform' is a table, written \[platform\]"),
        ("[platform]\nstack = 1\n", r"'stack' in \[platform\] is a text, not 1"),
        ("[defaults]\nevery = true\n", r"'every' in \[defaults\] is a number, not True"),
        ('[platform]\nregion = ""\n', r"'region' in \[platform\] is empty; leave it out"),
        ('[platform]\nstakc = "a"\nregoin = "b"\n', "'stakc' .*; 'regoin' "),
        (b"\xff", "cannot be read as TOML"),
        ("[platform]\nparameters = 1\n", r"'platform.parameters' is a table"),
        ("[replications]\norders = 1\n", r"'replications.orders' is a table"),
        ("[replications.orders]\nTtl = true\n", r"'Ttl' in \[replications.orders\] is a text or a number, not True"),
    ],
)
def test_a_file_that_does_not_hold_is_told_with_what_was_meant(tmp_path, text, says):
    root = make_project(tmp_path / "shop")
    (root / FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(WrongUseError, match=says):
        read_project(root)


def test_help_is_there_in_a_project_that_does_not_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path / "shop", "[platfrom]"))
    assert CliRunner().invoke(main, ["local", "up", "--help"]).exit_code == 0
    answer = CliRunner().invoke(main, ["local", "status", "--json"])
    assert answer.exit_code == 2
    assert "did you mean 'platform'?" in json.loads(answer.stdout)["error"]


def test_commands_on_mappings_take_the_projects_by_name(tmp_path, monkeypatch):
    document = mapping_document(column("n", "INT"))
    monkeypatch.chdir(make_project(tmp_path / "shop", orders=document))
    assert CliRunner().invoke(main, ["mapping", "check", "orders"]).exit_code == 0
    answer = CliRunner().invoke(main, ["mapping", "check", "web_analytics"])
    assert answer.exit_code == 2
    assert "No mapping is named 'web_analytics' in" in answer.stderr
    assert "there are: orders" in answer.stderr


def test_two_mappings_that_would_write_one_table_are_refused_by_name(tmp_path):
    document = mapping_document(column("n", "INT"))
    root = make_project(tmp_path / "shop", orders=document, orders_too=document)
    with pytest.raises(WrongUseError, match=r"orders and orders_too would both write .*: give one of them another"):
        read_project(root).load_mappings()
    assert [mapping.name for mapping in read_project(root).load_mappings(["orders"])] == ["orders"]


def test_a_view_is_not_named_as_the_rows_of_another_mapping_are(tmp_path):
    things = mapping_document(column("n", "INT"))
    taking = {**things, "target": {**things["target"], "table": f"{things['target']['table']}__Replica"}}
    root = make_project(tmp_path / "shop", orders=things, others=taking)
    with pytest.raises(WrongUseError, match=r"orders and others would both write \w+\.\w+__Replica: give one of them"):
        read_project(root).load_mappings()


def test_a_project_without_mappings_says_what_to_write(tmp_path):
    with pytest.raises(WrongUseError, match="has no mapping yet: write one"):
        read_project(make_project(tmp_path / "shop")).load_mappings()


@pytest.mark.parametrize(("stack", "own"), [("shop", True), ("shopping", False), ("x", False)])
def test_stacks_of_others_are_not_the_projects(tmp_path, monkeypatch, stack, own):
    assert is_own(stack)
    monkeypatch.chdir(make_project(tmp_path / "shop", '[platform]\nstack = "shop"\n'))
    assert is_own(stack) is own
