"""The wheel in an environment of its own: from `dynaurora init` to equal tables, with nothing of the repository.

What pip fetches for the emulator and for the functions is what the repository's environments and package have.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.places import ENVIRONMENTS, ROOT
from tests.e2e.test_projects import make_mapping

pytestmark = [
    pytest.mark.skipif(not os.environ.get("WHEEL"), reason="make test-wheel: takes more than a minute"),
    pytest.mark.timeout(600),
]

STEP_SECONDS = 300
PROGRAMS = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}


class Newcomer:
    """Somebody who has a folder and what pip put into it, and no clone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "environment" / "bin"
        self.cache = folder / "cache"
        kept = {name: os.environ[name] for name in ("DYNAURORA_ENGINE", "LANG", "PIP_INDEX_URL") if name in os.environ}
        path = ":".join([str(self.bin), *(place for place in os.environ["PATH"].split(":") if place in PROGRAMS)])
        self.environment = kept | {"HOME": str(folder), "PATH": path, "DYNAURORA_CACHE": str(self.cache)}

    def run(self, *command: str, directory: Path | None = None) -> str:
        """Run a command, and return what it printed."""
        answer = subprocess.run(
            command,
            cwd=directory or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    found = Newcomer(tmp_path)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", tmp_path / "dist", ROOT], check=True, timeout=STEP_SECONDS
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "environment", symlinks=True, with_pip=True)
    found.run("pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    found.cache.mkdir()
    (found.cache / ".venvs").symlink_to(ENVIRONMENTS)
    yield found
    found.run("dynaurora", "local", "down", directory=tmp_path / "shop")


def test_from_init_to_equal_tables_without_the_repository(newcomer: Newcomer) -> None:
    code = "import backfill, dynaurora, infra, lambdas, local; print(*(x.__file__ for x in (backfill, infra, local)))"
    assert all(str(newcomer.folder) in path for path in newcomer.run("python", "-c", code).split())
    newcomer.run("dynaurora", "init", "shop")
    shop = newcomer.folder / "shop"
    document = make_mapping("orders", "order", "VARCHAR(40)")
    (shop / "mappings" / "orders.json").write_text(json.dumps(document))
    items = [{"Item": {"order": {"S": f"o{n}"}, "total": {"N": "12.5"}}} for n in range(20)]
    (shop / "orders.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items))
    newcomer.run("dynaurora", "mapping", "check", "orders", directory=shop)
    newcomer.run("dynaurora", "local", "up", "--items", "orders.jsonl", directory=shop)
    command = 'eval "$(dynaurora local env)" && dynaurora backfill start orders --watch && dynaurora doctor orders'
    newcomer.run("bash", "-c", command, directory=shop)
    found = json.loads(newcomer.run("dynaurora", "local", "compare", "--json", directory=shop))
    assert (found["orders"]["items"], found["orders"]["identical"]) == (20, 20)
    assert not [path for path in _list_open_paths(shop) if path.is_relative_to(ROOT) and "/.venv" not in str(path)]


def _list_open_paths(directory: Path) -> Iterator[Path]:
    """Yield the working directories of the processes that a project's local AWS has, and the files that they opened."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(directory) not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes():
                continue
            yield (process / "cwd").readlink()
            yield from (link.readlink() for link in (process / "fd").iterdir())
        except OSError:
            continue
