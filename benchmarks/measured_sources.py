"""The code that the figures are measured of: the modules that a change or an item passes, and what those run."""

from __future__ import annotations

import ast
import hashlib
from typing import TYPE_CHECKING, Final

from infra.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS: Final = (
    "dynaurora.stream.forward_changes",
    "dynaurora.stream.transform_changes",
    "dynaurora.batches.import_batch",
    "dynaurora.exports.convert_export",
    "dynaurora.aws.delivery_stream",
    "dynaurora.aurora.sql",
    "dynaurora.aurora.staging",
)
"""What was measured begins here."""
PACKAGES: Final = ("batches", "dynamodb", "exports", "mappings", "stream")
"""Those that an item's or a change's time is spent in; what else is imported is called once for many."""


def digest_sources() -> str:
    """Return a digest of the code, whatever its empty lines and the lines that are comments."""
    digest = hashlib.sha256()
    for name in sorted(list_modules()):
        lines = (line for line in find_file(name).read_text("utf-8").splitlines() if line.strip())
        code = (line for line in lines if not line.lstrip().startswith("#"))
        digest.update("\n".join([name, *code, ""]).encode())
    return digest.hexdigest()


def list_modules() -> set[str]:
    """Return the names of the modules that the figures depend on."""
    found, waiting = set[str](), list(STEPS)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [each for each in list_imports(find_file(name)) if each.split(".")[1] in PACKAGES]
    return found


def list_imports(path: Path) -> Iterator[str]:
    """Yield the modules of the core that a module imports, but for its annotations."""
    waiting: list[ast.AST] = [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dynaurora"):
            names = (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))
            yield from (name for name in names if "." in name and find_file(name).is_file())


def find_file(name: str) -> Path:
    """Return the file that a module would be in."""
    return ROOT / f"{name.replace('.', '/')}.py"
