import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from local import venvs


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose one environment needs no package, and so no network."""
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    (requirements / "empty.txt").write_text("# nothing\n")
    monkeypatch.setattr(venvs, "ENVIRONMENTS", tmp_path / ".venvs")
    monkeypatch.setattr(venvs, "REQUIREMENTS", requirements)
    monkeypatch.setattr(venvs, "NAMES", ("empty",))
    return tmp_path


@pytest.fixture
def created(monkeypatch):
    """How often an environment was created."""
    calls = []
    create = venvs._create
    monkeypatch.setattr(venvs, "_create", lambda *arguments: (calls.append(arguments), create(*arguments)))
    return calls


def test_an_environment_is_created_once_and_runs(project, created):
    python = venvs.ensure("empty")
    assert venvs.ensure("empty") == python
    assert len(created) == 1
    assert subprocess.run([python, "-c", "import boto3"], capture_output=True, check=False).returncode != 0


def test_other_requirements_make_it_anew(project, created):
    venvs.ensure("empty")
    (project / "requirements/empty.txt").write_text("# nothing else\n")
    venvs.ensure("empty")
    assert len(created) == 2


def test_an_interrupted_creation_is_done_again(project, created, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(venvs, "_install", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            venvs.ensure("empty")
    assert venvs.ensure("empty").exists()
    assert len(created) == 2


def test_two_that_ask_at_once_get_the_same_one(project, created):
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(venvs.ensure, ["empty", "empty"]))) == 1
    assert len(created) == 1


def test_a_package_that_cannot_be_had_is_named_with_what_to_do(project):
    (project / "requirements/empty.txt").write_text("./there-is-no-such-package\n")
    with pytest.raises(
        venvs.EnvironmentCreationError, match=r"(?s)there-is-no-such-package.*run the same command again"
    ):
        venvs.ensure("empty")


def test_an_unknown_environment_is_refused():
    with pytest.raises(venvs.EnvironmentCreationError, match="choose from: aws, dlt, emulator, ingestr, moto, runtime"):
        venvs.ensure("nothing")


def test_an_installed_package_says_that_it_is_no_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(venvs, "REQUIREMENTS", tmp_path)
    with pytest.raises(venvs.EnvironmentCreationError, match=r"emulator.txt is not there.*in a clone"):
        venvs.ensure("emulator")
