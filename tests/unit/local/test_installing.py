import io
import os
import re
import subprocess
import sys
import zipfile

import pytest

from local import venvs
from local.installing import InstallationError, Line, run_pip, tell_once

RETRY = "WARNING: Retrying (Retry(total={}, connect=None)) after connection broken by '<HTTPConnection object at {}>'"
REQUIRED = "ERROR: Could not find a version that satisfies the requirement a==1"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def make_wheel(directory, name):
    """Write the smallest wheel that pip takes."""
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


def test_what_is_installed_is_told_while_it_is_and_in_the_end(tmp_path, monkeypatch, capsys):
    (tmp_path / "requirements").mkdir()
    wheels = [make_wheel(tmp_path, name) for name in ("first", "second")]
    (tmp_path / "requirements/two.txt").write_text("".join(f"{wheel}\n" for wheel in wheels))
    monkeypatch.setattr(venvs, "ENVIRONMENTS", tmp_path / ".venvs")
    monkeypatch.setattr(venvs, "REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(venvs, "NAMES", ("two",))
    terminal = Terminal()
    monkeypatch.setattr(venvs, "Line", lambda name: Line(name, terminal))
    venvs.ensure("two")
    shown = terminal.getvalue()
    assert "\r\x1b[Ktwo: " in shown
    assert "first-1.0-py3-none-any.whl" in shown
    assert shown.endswith("\r\x1b[K")
    assert re.search(r"two: ready, 2 packages in \d+ s\n", capsys.readouterr().err)


def test_an_installation_by_name_tells_how_it_ends(tmp_path):
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    command = [sys.executable, "-m", "local.installing", "what it needs"]
    for package, ending in (
        (make_wheel(tmp_path, "first"), "ready, 1 packages in"),
        ("./nothing-there", "nothing-there"),
    ):
        python = os.environ | {"PIP_PYTHON": str(environment / "bin/python")}
        answer = subprocess.run([*command, str(package)], env=python, capture_output=True, text=True, check=False)
        assert answer.stderr.startswith("what it needs: installing\n")
        assert ending in answer.stderr
        assert answer.returncode == ("ready" not in ending)


def test_where_nobody_looks_no_line_changes():
    stream = io.StringIO()
    with Line("emulator", stream) as line:
        line.show("1 packages, collecting moto")
    assert stream.getvalue() == ""


def test_a_line_is_no_longer_than_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    Line("emulator", terminal).show("x" * 100)
    assert len(terminal.getvalue().removeprefix("\r\x1b[K")) == 39
    assert terminal.getvalue().endswith("…")


def test_what_pip_says_again_and_again_is_told_once():
    retries = [RETRY.format(left, hex(4000 + left)) for left in range(4, -1, -1)]
    assert tell_once(["Collecting a==1", *retries, "", REQUIRED, "ERROR: No matching distribution"]) == [
        f"{retries[0]} (5 times)",
        REQUIRED,
        "ERROR: No matching distribution",
    ]


def test_a_pip_that_fails_says_why():
    program = f"print('Collecting a'); print({REQUIRED!r}); print({REQUIRED!r}); raise SystemExit(1)"
    with pytest.raises(InstallationError) as raised:
        run_pip([sys.executable, "-c", program], {}, Line("a", io.StringIO()))
    assert str(raised.value) == f"{REQUIRED} (2 times)"
