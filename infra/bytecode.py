"""Bytecode for the functions' package: AWS's runtime cannot keep what it compiles, and would do it at every cold start.

Bytecode is for one minor version of Python, on any machine; another version ignores it and compiles by itself. It is
not held against the sources beside it: nothing changes there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Compiler:
    """A Python that compiles for its own minor version."""

    python: str
    release: str
    """Its exact version, which may decide the bytes."""


def find_compiler(version: str) -> Compiler | None:
    """Return a Python of a minor version, such as 3.13: this one, or what is on the path; None where there is none."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = sys.executable if version == running else shutil.which(f"python{version}")
    if python is None:
        return None
    command = [python, "-I", "-c", "import sys; print(sys.version)"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    is_it = answer.returncode == 0 and answer.stdout.startswith(f"{version}.")  # else a launcher of no such Python
    return Compiler(python, answer.stdout.strip()) if is_it else None


def compile_directory(compiler: Compiler, directory: Path) -> None:
    """Compile all modules below a directory, into `__pycache__` beside each; one that does not compile is left out."""
    command = [compiler.python, "-s", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(directory), str(directory)]
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0"}  # the order of sets is in the bytes
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - fixed arguments


def compile_sources(compiler: Compiler, sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the bytecode of modules, both by their paths in the package."""
    with tempfile.TemporaryDirectory() as directory:
        for name, source in sources.items():
            path = Path(directory) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source)
        compile_directory(compiler, Path(directory))
        compiled = Path(directory).rglob("*.pyc")
        return {path.relative_to(directory).as_posix(): path.read_bytes() for path in compiled}
