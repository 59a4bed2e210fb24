import io
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.places import ROOT
from local import venvs
from local.installing import STEP, InstallationError, Line, run_pip, run_shown, tell_once
from tests.support.terminals import run_on_terminal
from tests.support.waiting import wait_until

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
        (make_wheel(tmp_path, "first"), "ready, 1 package in"),
        ("./nothing-there", "nothing-there"),
    ):
        python = os.environ | {"PIP_PYTHON": str(environment / "bin/python")}
        answer = subprocess.run([*command, str(package)], env=python, capture_output=True, text=True, check=False)
        assert answer.stderr.startswith("what it needs: installing\n")
        assert "\r" not in answer.stderr
        assert ending in answer.stderr
        assert answer.returncode == ("ready" not in ending)


def test_where_nobody_looks_no_line_changes():
    stream = io.StringIO()
    with Line("emulator", stream) as line:
        line.show("1 package, collecting moto")
    assert stream.getvalue() == ""


def test_a_line_is_no_longer_than_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    Line("emulator", terminal).show("x" * 100)
    assert len(terminal.getvalue().removeprefix("\r\x1b[K")) == 39
    assert terminal.getvalue().endswith("…, 0 s")


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


@pytest.mark.parametrize("columns", [80, 100])
def test_an_installation_is_seen_to_go_on_and_leaves_two_lines(tmp_path, columns):
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    wheels = [str(make_wheel(tmp_path, name)) for name in ("first", f"of_a_{'long_' * 20}name")]
    command = [sys.executable, "-m", "local.installing", "what it needs", *wheels]
    seen = run_on_terminal(command, columns, PIP_PYTHON=str(environment / "bin/python"), NO_COLOR="1")
    assert seen.status == 0
    assert re.fullmatch(r"what it needs: installing\nwhat it needs: ready, 2 packages in \d+ s", "\n".join(seen.left))
    assert any("processing first-1.0-py3-none-any.whl, " in line for line in seen.lines)
    assert all(len(line) < columns and line.startswith("what it needs: ") for line in seen.lines)
    assert not seen.is_colored


def test_a_line_moves_while_nothing_is_said():
    terminal = Terminal()
    with Line("a", terminal) as line:
        line.show("at it")
        wait_until(lambda: terminal.getvalue().count("a: at it, ") > 2)
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_terminal_that_changes_nothing_in_place_is_written_nothing():
    program = "from local.installing import Line\nwith Line('a') as line: line.show('at it')"
    assert run_on_terminal([sys.executable, "-c", program], TERM="dumb").text == ""


def test_what_npm_fetches_is_told_by_its_package():
    fetched = "npm http fetch GET 200 https://registry.npmjs.org/@jsep-plugin/regex/-/regex-1.0.4.tgz 41ms (cache miss)"
    cached = "npm http cache https://registry.npmjs.org/ajv/-/ajv-8.17.1.tgz 3ms (cache hit)"
    program = f"print({fetched!r}); print({cached!r}); print('npm error code E1'); raise SystemExit(1)"
    terminal = Terminal()
    with pytest.raises(InstallationError, match=r"^npm error code E1$"):
        run_shown([sys.executable, "-c", program], {}, Line("axe", terminal))
    assert "axe: 1 package, fetch regex, 0 s" in terminal.getvalue()
    assert "axe: 2 packages, cache ajv, 0 s" in terminal.getvalue()
    assert not STEP.match("npm http fetch GET 200 https://registry.npmjs.org/ajv 41ms (cache updated)")


def install_with(directory, apt_get):
    """Return what installs a package with an apt-get of a test's, and the PATH that has it."""
    programs = {"apt-get": apt_get, "sudo": 'shift; exec "$@"'}
    for name, program in programs.items():
        (directory / name).write_text(f"#!/bin/sh\n{program}\n")
        (directory / name).chmod(0o755)
    functions = f"source <(grep -v '^main ' {ROOT / 'local/install.sh'}); install_packages chromium"
    return ["env", "--default-signal=INT", "bash", "-c", functions], f"{directory}:{os.environ['PATH']}"


@pytest.mark.parametrize("fails", [False, True], ids=["goes well", "fails"])
def test_an_installer_of_the_machine_is_seen_and_told_whole_where_it_fails(tmp_path, fails):
    said = "Get:1 http://deb.debian.org/debian bookworm/main amd64 chromium-common amd64 142.0.7444.59-1 [20 MB]"
    looked, looks = tmp_path / "looked", f'[ -s "$3" ] && touch {tmp_path}/looked\nexec {shutil.which("tail")} "$@"'
    (tmp_path / "tail").write_text(f"#!/bin/sh\n{looks}\n")
    (tmp_path / "tail").chmod(0o755)
    until_seen = f"for _ in $(seq 600); do [ -e {looked} ] && break; sleep 0.1; done"
    command, path = install_with(tmp_path, f"echo '{said}'\n{until_seen}\nexit {int(fails)}")
    seen = run_on_terminal(command, PATH=path)
    assert seen.status == int(fails)
    shown = [line for line in seen.lines if line.startswith("apt-get update, ")]
    assert any("Get:1 http://deb.debian.org/debian" in line for line in shown)
    assert max(map(len, shown)) < 80
    assert seen.left[0] == "Installing chromium"
    assert (said in "\n".join(seen.left)) is fails


def runs(process):
    """Tell whether a process is there that has not ended."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "kill"])
def test_an_installer_of_the_machine_ends_with_who_waits_for_it(tmp_path, ending, status):
    left = tmp_path / "temporary"
    left.mkdir()
    begun = tmp_path / "begun"
    command, path = install_with(tmp_path, f"sleep 600 &\necho $$ $! >{begun}.new; mv {begun}.new {begun}; wait")
    environment = os.environ | {"PATH": path, "TMPDIR": str(left)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_until(begun.exists)
    os.killpg(process.pid, ending)
    assert process.wait() == status
    wait_until(lambda: not any(map(runs, begun.read_text().split())))
    assert [*left.iterdir()] == []
