"""Look for known vulnerabilities of the packages that the functions carry.

    python -m infra.scan_lock .venvs/security/bin/pip-audit

The advisories are PyPI's, so this needs the network. Where they cannot be had the scan says so in a line, and passes:
it is a check of the world, not of the code, and the same lock may be fine today and not tomorrow.

Exit status: 0 nothing known, or not scanned; 1 vulnerabilities; 2 the scanner could not be run.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
LOCK = Path("requirements/functions.txt")
TIMEOUT_SECONDS = 120
OPTIONS = ("--disable-pip", "--require-hashes", "--progress-spinner", "off", "--timeout", "10", "--format", "json")


def main(arguments: list[str] | None = None) -> int:
    """Scan the lock and print what was found; return the exit status."""
    program, *rest = arguments or sys.argv[1:] or [""]
    lock = Path(rest[0]) if rest else PROJECT / LOCK
    command = [program, "--requirement", str(lock), *OPTIONS]
    try:
        answer = subprocess.run(  # noqa: S603 - the program is the caller's
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
    except OSError as error:
        _say(f"The scanner could not be run: {error}. Make its environment: python -m local.venvs security")
        return 2
    except subprocess.TimeoutExpired:
        _say(f"SKIPPED: {LOCK} was not scanned for vulnerabilities: no answer within {TIMEOUT_SECONDS} s.")
        return 0
    return report(answer.stdout, answer.stderr)


def report(output: str, errors: str) -> int:
    """Print what the scanner found, and what it could not look up; return the exit status."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (errors.strip().splitlines() or ["the scanner gave no answer"])[-1]
        _say(f"SKIPPED: {LOCK} was not scanned for vulnerabilities: {reason}")
        return 0
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    found = list(describe(packages))
    for line in found:
        _say(line)
    if len(unknown) == len(packages):
        _say(f"SKIPPED: {LOCK} was not scanned for vulnerabilities: PyPI knows none of its {len(packages)} packages.")
        return 0
    if unknown:
        _say(f"SKIPPED: PyPI had no answer for {len(unknown)} of {len(packages)} packages: {', '.join(unknown)}")
    _say(f"{len(packages) - len(unknown)} packages of {LOCK} scanned, {len(found)} known vulnerabilities")
    return 1 if found else 0


def describe(packages: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each vulnerability: the package, the advisory, and the version that mends it."""
    for package in packages:
        for vulnerability in package.get("vulns", []):
            mended = ", ".join(vulnerability.get("fix_versions") or ["no version yet"])
            yield f"{package['name']} {package['version']}: {vulnerability['id']}, mended in {mended}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
