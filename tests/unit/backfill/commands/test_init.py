import json
import re

import click
import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.project import read_project


def init(*arguments):
    return CliRunner().invoke(main, ["init", *arguments])


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_a_project_is_made_that_holds(tmp_path):
    answer = init("shop", "--json")
    files = ["dynaurora.toml", "README.md", ".gitignore", "mappings/"]
    assert json.loads(answer.stdout) == {"project": str(tmp_path / "shop"), "files": files, "kept": []}
    project = read_project(tmp_path / "shop")
    assert (project.stack, project.region, project.profile, project.defaults) == ("dynaurora", None, None, {})
    assert (tmp_path / "shop" / "mappings").is_dir()
    assert ".local/" in (tmp_path / "shop" / ".gitignore").read_text()


def test_its_settings_are_what_was_given_and_those_it_shows_can_be_set(tmp_path):
    assert init("--stack", "shop", "--region", "eu-central-1", "--profile", "shop").exit_code == 0
    path = tmp_path / "dynaurora.toml"
    path.write_text(re.sub(r"^# (?=\w+ = |\[)", "", path.read_text(), flags=re.MULTILINE))
    project = read_project(tmp_path)
    assert (project.stack, project.region, project.profile) == ("shop", "eu-central-1", "shop")
    assert project.parameters == {"DatabaseHost": "cluster.example.com"}
    assert project.replications == {"orders": {"TtlDeletes": "ignore"}}
    assert project.defaults == {"engine": "mysql", "max_concurrency": 4, "every": 3.0}


def test_the_readmes_commands_are_understood(tmp_path):
    init()
    commands = re.findall(r"^dynaurora (.*)$", (tmp_path / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 3
    for words in map(str.split, commands):
        command = main
        root = click.Context(main, **main.context_settings)  # click keeps the help option that it makes first
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(root, words)
        command.make_context(name, words, parent=root)


def test_nothing_is_made_where_a_project_is(tmp_path):
    (tmp_path / "dynaurora.toml").write_text("mine")
    answer = init()
    assert answer.exit_code == 2
    assert "is a project already: it has a dynaurora.toml; nothing was made" in answer.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("dynaurora.toml", "mine")]


@pytest.mark.parametrize("name", ["README.md", ".gitignore"])
def test_a_file_that_is_there_stays_as_it_is(tmp_path, name):
    (tmp_path / name).write_text("mine")
    answer = init()
    assert answer.exit_code == 0
    assert f"{name} was there, and stays as it is" in answer.stdout
    assert (tmp_path / name).read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"dynaurora.toml", "README.md", ".gitignore", "mappings"}


def test_the_next_commands_are_those_of_the_readme(tmp_path):
    answer = init("my shop")
    assert "cd 'my shop'; then, for a table orders" in answer.stdout
    told = re.findall(r"^  \S+ (.*)$", answer.stdout, re.MULTILINE)
    readme = (tmp_path / "my shop" / "README.md").read_text()
    assert told == re.findall(r"^dynaurora (.*)$", readme, re.MULTILINE)


def test_a_profile_that_is_not_configured_and_an_odd_region_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[profile shop]\n")
    assert "configured" not in init("shop", "--profile", "shop", "--region", "eu-central-1").stdout
    answer = init("other", "--profile", "nope", "--region", "Frankfurt")
    assert answer.exit_code == 0
    assert "No profile nope is configured here yet: aws configure --profile nope" in answer.stdout
    assert "Frankfurt does not look like a region" in answer.stdout


def test_a_second_time_nothing_is_changed(tmp_path):
    init()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert init("--stack", "other").exit_code == 2
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--stack", "my stack"], "cannot be a stack's name"),
        (["--region", 'a"\nb'], "cannot be a region"),
        (["--profile", "a'b"], "cannot be a profile"),
    ],
)
def test_what_cannot_be_a_name_is_refused(tmp_path, arguments, says):
    answer = init(*arguments)
    assert answer.exit_code == 2
    assert says in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    answer = init("file/shop")
    assert answer.exit_code == 1
    assert "The project could not be made" in answer.stderr


def test_the_project_around_it_is_not_asked(tmp_path):
    (tmp_path / "dynaurora.toml").write_text("[broken")
    assert init("inner").exit_code == 0
