"""House rules of hooks and workflows: they fetch nothing unseen, and may do no more than they have to."""

import re

import pytest
import yaml

from tests.conftest import LONGEST_FIRST, SHARING, name_scope, rank
from tests.infrastructure.deployment import PROJECT

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
ACTION = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
"""By the commit: a tag can be moved by whoever may push to the action's repository."""
TARGET = re.compile(r"^(?P<name>[a-z-]+):", re.MULTILINE)
MAKE = re.compile(r"\bmake (?P<targets>[a-z-]+(?: [a-z-]+)*)")


def read(path):
    return yaml.safe_load(path.read_text("utf-8"))


def list_steps(workflow):
    return [step for job in read(workflow)["jobs"].values() for step in job["steps"]]


def list_targets():
    return {target["name"] for target in TARGET.finditer((PROJECT / "Makefile").read_text("utf-8"))}


def test_hooks_run_what_is_installed_and_fetch_nothing():
    (repository,) = read(PROJECT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_read_alone_and_a_job_that_writes_builds_nothing(workflow):
    document = read(workflow)
    assert document["permissions"] == {"contents": "read"}
    for job in document["jobs"].values():
        assert job["timeout-minutes"] > 0
        if "permissions" in job:
            assert not [step for step in job["steps"] if "checkout" in step.get("uses", "")]
            assert not MAKE.search(str(job["steps"]))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_names_the_versions_of_its_actions(workflow):
    actions = [step["uses"] for step in list_steps(workflow) if "uses" in step]
    assert [action for action in actions if not ACTION.fullmatch(action)] == []


@pytest.mark.parametrize("page", [".github/workflows/ci.yml", ".github/workflows/release.yml", "CONTRIBUTING.md"])
def test_targets_that_are_named_are_there(page):
    text = "\n".join(re.findall(r"(?:run: |`|^)(make [a-z -]+)", (PROJECT / page).read_text("utf-8"), re.MULTILINE))
    named = {name for found in MAKE.finditer(text) for name in found["targets"].split()}
    assert named
    assert named <= list_targets()


def test_folders_whose_tests_share_a_deployment_stay_together():
    assert all((PROJECT / folder / "conftest.py").is_file() for folder in SHARING)
    assert name_scope("tests/drills/test_load.py::test_a[b/c]") == "tests/drills"
    assert name_scope("tests/unit/aws/test_sdk.py::test_a[b/c]") == "tests/unit/aws/test_sdk.py"


def test_files_that_take_longest_begin_first():
    assert all((PROJECT / "tests" / folder).is_dir() for folder in LONGEST_FIRST)
    given = [
        "tests/unit/test_keys.py::test_a",
        "tests/infrastructure/test_a.py::test_b",
        "tests/drills/test_load.py::a",
    ]
    assert [*map(rank, given)] == [5, 5, 1]


def test_files_that_make_takes_to_speak_to_no_database_are_there_and_start_no_server():
    told = re.search(r"^OFF_DATABASE := ((?:.*\\\n)*.*)", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE)
    names = re.findall(r"test_\w+\.py", told[1])
    files = [path for name in names for path in (PROJECT / "tests").glob(f"[is]*/**/{name}")]
    assert len(files) == len(names) == 7
    assert [path.name for path in files if "pymysql" in path.read_text("utf-8")] == []
