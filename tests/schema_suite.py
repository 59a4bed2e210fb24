"""The JSON-Schema-Test-Suite's cases of draft 2020-12, as the source package of `jsonschema` carries them.

They are fetched once, by pip, in the version of `jsonschema` that is installed, and kept under `.venvs/`.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = "json/tests/draft2020-12"


class Case(NamedTuple):
    """One instance, and whether a schema takes it."""

    name: str
    schema: Any
    text: str
    """The instance as JSON."""
    is_valid: bool


def fetch() -> Path:
    """Return the folder of the cases, which is fetched when it is missing."""
    home = PROJECT / ".venvs" / f"schema-suite-{version('jsonschema')}"
    if not home.is_dir():
        home.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            requirement = f"jsonschema=={version('jsonschema')}"
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
            command += ["--no-binary", "jsonschema", "--dest", scratch, requirement]
            subprocess.run(command, check=True, timeout=200)
            with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
                archive.extractall(scratch, filter="data")
            shutil.move(next(Path(scratch).glob(f"*/{FOLDER}")), home)
    return home


def load_cases() -> list[Case]:
    """Return all cases, those of formats and other optional ones included."""
    folder, cases = fetch(), []
    for path in sorted(folder.rglob("*.json")):
        for group in json.loads(path.read_text("utf-8"), parse_float=Decimal):
            for test in group["tests"]:
                name = f"{path.relative_to(folder).with_suffix('')}: {group['description']}: {test['description']}"
                cases.append(Case(name, group["schema"], dump(test["data"]), test["valid"]))
    return cases


def dump(value: Any) -> str:
    """Return a value as JSON with its numbers as they were written."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(dump, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{dump(member)}' for name, member in value.items())}}}"
    return json.dumps(value)
