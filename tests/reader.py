"""Pages of docs/, followed as a reader would: their commands in order, in one shell, with what is shown of the output.

    ```console           commands that are run; all of them must succeed
    ```console exit 1    commands that are run, and end with that status
    ```text              right below: what they print, line by line, `…` standing for anything and other lines between
    ```sh not run        commands for an AWS account, which no test here has, or for longer than a test may take

A test names the page that it follows, and follows it to its end:

    with reader.follow("docs/runbooks/aurora-down.md") as walk:
        printed = walk.through("Diagnose")     # all commands up to the end of that section
        aws.restart_database()                 # what happens meanwhile
        walk.through("Verify")
"""

import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
DOCS = PROJECT / "docs"
TRUST = re.compile("^(NODE_EXTRA_CA_CERTS|SSL_CERT_(DIR|FILE)|PIP_.*|npm_config_.*|(https?|no)_proxy)$", re.IGNORECASE)
COMMAND_SECONDS = 120
PART = re.compile(
    r"^(?P<level>#{2,}) (?P<heading>.+?)$|^(?P<indent> *)```(?P<kind>[^\n`]*)\n(?P<body>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
CONSOLE = re.compile(r"console(?: exit (?P<status>\d+))?")
RUN_BLOCK = """
[[ ! -e {state} ]] || source {state}
set -euo pipefail
{commands}
{{ declare -px; printf 'cd %q\\n' "$PWD"; }} > {state}
"""
"""What a block exports the next one has, and it starts where the one before ended."""


@dataclass(frozen=True)
class Block:
    """One block of commands of a page."""

    page: str
    headings: tuple[str, ...]
    """The headings that it is under, from the second level on."""
    commands: str
    status: int = 0
    """What they end with."""
    expected: str = ""
    """What the page shows of their output."""

    def __str__(self) -> str:
        return f"{self.page}, {' › '.join(self.headings)}:\n{self.commands}"


def list_pages() -> list[str]:
    """Return the pages of docs/, by their paths in the project."""
    return [path.relative_to(PROJECT).as_posix() for path in sorted(DOCS.rglob("*.md"))]


def read_headings(page: str) -> list[str]:
    """Return the headings of the second level of a page, in their order."""
    return [part["heading"] for part in _read_parts(page) if part["level"] == "##"]


def read_blocks(page: str) -> list[Block]:
    """Return a page's blocks of commands that are run, in their order."""
    blocks, headings, before = list[Block](), list[str](), ""
    for part in _read_parts(page):
        if part["level"]:
            headings[len(part["level"]) - 2 :] = [part["heading"]]
        elif console := CONSOLE.fullmatch(part["kind"]):
            status = int(console["status"] or 0)
            blocks.append(Block(page, tuple(headings), textwrap.dedent(part["body"]), status))
        elif part["kind"] == "text" and CONSOLE.fullmatch(before):
            blocks.append(replace(blocks.pop(), expected=textwrap.dedent(part["body"])))
        before = part["kind"] or ""
    return blocks


def _read_parts(page: str) -> Iterator[re.Match[str]]:
    return PART.finditer((PROJECT / page).read_text("utf-8"))


def find_missing(expected: str, printed: str) -> str | None:
    """Return the first line that a page shows and that was not printed after those above it; None where all were.

    Spaces count as one, however many there are.
    """
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in filter(None, map(str.strip, expected.splitlines())):
        pattern = re.compile(" ".join(re.escape(word).replace("…", ".*") for word in line.split()))
        if line != "…" and not any(pattern.fullmatch(found) for found in lines):
            return line
    return None


def trust() -> dict[str, str]:
    """How this machine reaches package registries: its proxy and the certificates that it trusts."""
    return {name: value for name, value in os.environ.items() if TRUST.search(name)}


@dataclass(frozen=True)
class Reader:
    """Somebody at a shell, with the programs that this project's people have."""

    directory: Path
    """Where the shell starts."""
    state: Path
    """The file that keeps what is exported."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment of the first command, beside PATH."""
    programs: tuple[Path, ...] = ()
    """Directories of programs, before those of PATH."""

    @contextmanager
    def follow(self, page: str) -> Iterator["Walk"]:
        """Yield a walk through a page, by its path in the project, which must be walked to the end."""
        walk = Walk(self, page, read_blocks(page))
        yield walk
        assert not walk.blocks, f"never run: {walk.blocks[0]}"

    def run(self, block: Block) -> str:
        """Run a block's commands, check that they end and print as the page says, and return what they print."""
        search = [*map(str, self.programs), os.environ["PATH"]]
        answer = subprocess.run(
            ["bash", "-c", RUN_BLOCK.format(commands=block.commands, state=shlex.quote(str(self.state)))],
            cwd=self.directory,
            env={**trust(), "PATH": os.pathsep.join(search), "HOME": str(self.state.parent), **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert answer.returncode == block.status, f"{block}\nended with status {answer.returncode}:\n{answer.stdout}"
        missing = find_missing(block.expected, answer.stdout)
        assert missing is None, f"{block}\nshould have printed\n{missing}\nand printed:\n{answer.stdout}"
        return answer.stdout

    def export(self, **variables: str) -> None:
        """Have later commands see variables, as if the reader had exported them."""
        with self.state.open("a", encoding="utf-8") as file:
            file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())

    def go_to(self, directory: Path) -> None:
        """Have later commands run in a directory."""
        with self.state.open("a", encoding="utf-8") as file:
            file.write(f"cd {shlex.quote(str(directory))}\n")


@dataclass
class Walk:
    """A page that is being followed."""

    reader: Reader
    page: str
    blocks: list[Block]
    """Those that are not run yet."""

    def through(self, heading: str) -> str:
        """Run everything up to the end of a section, and return what it printed.

        A section that is not ahead, or has no commands, is a mistake of the test or of the page.
        """
        ahead = [number for number, block in enumerate(self.blocks, 1) if heading in block.headings]
        assert ahead, f"{self.page} has no more commands under the heading {heading!r}"
        printed = ""
        for _ in range(ahead[-1]):
            printed += self.reader.run(self.blocks[0])
            del self.blocks[0]
        return printed
