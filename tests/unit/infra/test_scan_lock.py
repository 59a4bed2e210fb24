"""The scan of the functions' lock: what is known is said, and so is what could not be looked up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.scan_lock import OPTIONS, PROJECT, main, report

FINE = {"name": "six", "version": "1.17.0", "vulns": []}
UNKNOWN = {"name": "arrow", "skip_reason": "Dependency not found on PyPI"}
BAD = {"name": "idna", "version": "3.6", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.7"]}]}


def answer(*packages: dict) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_vulnerability_fails_with_the_version_that_mends_it(capsys):
    assert report(answer(FINE, BAD), "") == 1
    printed = capsys.readouterr().out
    assert "idna 3.6: PYSEC-1, mended in 3.7" in printed
    assert "2 packages of requirements/functions.txt scanned, 1 known vulnerabilities" in printed


def test_a_package_that_is_not_known_is_named_and_no_pass(capsys):
    assert report(answer(FINE, UNKNOWN), "") == 0
    printed = capsys.readouterr().out
    assert "SKIPPED: PyPI had no answer for 1 of 2 packages: arrow" in printed
    assert "1 packages of" in printed


def test_a_scan_without_any_answer_does_not_say_that_it_scanned(capsys):
    assert report(answer(UNKNOWN), "") == 0
    assert "scanned, " not in capsys.readouterr().out


@pytest.mark.parametrize(("errors", "reason"), [("a\nno route to host\n", "no route to host"), ("", "gave no answer")])
def test_a_scan_that_failed_is_a_visible_line(capsys, errors, reason):
    assert report("", errors) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("SKIPPED: ")
    assert reason in printed


def test_a_scanner_that_is_not_there_says_how_to_get_it(capsys):
    assert main(["/nowhere/pip-audit"]) == 2
    assert "python -m local.venvs security" in capsys.readouterr().out


def test_the_scanner_is_asked_for_the_lock_and_nothing_is_installed(tmp_path: Path):
    scanner = tmp_path / "scanner"
    scanner.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        "print(json.dumps({'dependencies': [{'name': ' '.join(sys.argv[1:]), 'version': '1',"
        " 'vulns': [{'id': 'X', 'fix_versions': []}]}]}))\n"
    )
    scanner.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "infra.scan_lock", str(scanner)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"--requirement {PROJECT / 'requirements/functions.txt'} {' '.join(OPTIONS)}" in done.stdout
    assert "mended in no version yet" in done.stdout
