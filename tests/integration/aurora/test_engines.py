"""Which of the machine's servers is used. Nothing here needs a server."""

from pathlib import Path

import pytest

from local.aurora import engine as engine_module
from local.aurora.engine import is_confined
from local.aurora.engines import ENGINES


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it yet, and nothing to be found beside it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DYNAURORA_UNPACKED", raising=False)
    monkeypatch.setattr(engine_module, "_FURTHER_PLACES", ())
    monkeypatch.setattr(engine_module, "_APPARMOR", tmp_path / "apparmor.d")
    return tmp_path


def put(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("engine", "says", "is_used"),
    [
        ("mysql", "/usr/sbin/mysqld  Ver 8.0.40-0ubuntu0.24.04.1 for Linux on x86_64 ((Ubuntu))", True),
        ("mysql", "/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))", True),
        ("mysql", "mysqld  Ver 5.7.44 for Linux on x86_64 (MySQL Community Server (GPL))", False),
        ("mysql", "mysqld  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)", False),
        ("mariadb", "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)", True),
        ("mariadb", "mariadbd  Ver 10.5.2-MariaDB for Linux on x86_64", False),
    ],
)
def test_a_server_of_the_machine_is_used_if_it_is_the_engine_s(
    machine: Path, engine: str, says: str, is_used: bool
) -> None:
    program = put(machine / ENGINES[engine].program, says)
    put(machine / "mariadb-install-db", "")
    assert ENGINES[engine]._find_installed() == (program if is_used else None)


def test_a_server_is_passed_over_where_that_is_wanted(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine / "mysqld", "mysqld  Ver 8.4.3")
    monkeypatch.setenv("DYNAURORA_UNPACKED", "1")
    assert ENGINES["mysql"]._find_installed() is None


def test_mariadb_without_what_creates_its_tables_is_not_enough(machine: Path) -> None:
    put(machine / "mariadbd", "mariadbd  Ver 10.11.19-MariaDB")
    assert ENGINES["mariadb"]._find_installed() is None


def test_a_server_that_apparmor_confines_is_passed_over(machine: Path) -> None:
    program = put(machine / "mysqld", "mysqld  Ver 8.4.3")
    profile = machine / "apparmor.d" / str(program.resolve()).strip("/").replace("/", ".")
    profile.parent.mkdir()
    profile.write_text("# nothing but a comment\n\n")
    assert not is_confined(program)
    profile.write_text(f"# one\n{program} {{\n  /var/lib/mysql/** rwk,\n}}\n")
    assert is_confined(program)
    assert ENGINES["mysql"]._find_installed() is None
    (profile.parent / "disable").mkdir()
    (profile.parent / "disable" / profile.name).symlink_to(profile)
    assert not is_confined(program)
