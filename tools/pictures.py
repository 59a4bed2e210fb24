"""The pictures of the documentation, of real runs on a local AWS of their own: `make pictures`.

    docs/images/dashboard.svg    the platform's dashboard, of the metrics that the runs have put
    docs/images/terminal.svg     what commands print of the runs, on a terminal of 100 columns

Nothing is drawn by hand: commands are run as a person runs them, and the dashboard is the one that is deployed.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from rich import _export_format
from rich.console import Console
from rich.text import Text

from tools.dashboard_picture import choose_variables, draw, read_shown

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = ROOT / "docs" / "images"
COLUMNS: Final = 100
MAPPING: Final = "web_analytics"
STACK: Final = "dynaurora"
RUNS: Final = (
    ("local", "demo", "--items", "20000", "--json"),
    ("backfill", "start", MAPPING, "--watch"),
    ("reprocess", "start", MAPPING, "--watch"),
)
SCENES: Final = (("verify", MAPPING), ("status",), ("failures", "count", MAPPING))
SECONDS: Final = 5
"""Of a point: a run here takes a minute or two, and a period of CloudWatch's as much."""
CLUSTER: Final = ("→ 127.", "→ the database of this machine.")
"""What a cluster's name is made of, its host, is an address here."""
FONT_FACES: Final = re.compile(r"\s*@font-face \{\{.*?\}\}", re.DOTALL)
"""Of the pictures, which would fetch them from elsewhere."""
PROMPT: Final = "$ "


class Machine:
    """A local AWS of this script's own, and the commands on it."""

    def __init__(self, directory: Path) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        unset = {"AWS_PROFILE", "AWS_SESSION_TOKEN", "NO_COLOR"}
        known = {name: value for name, value in os.environ.items() if name not in unset}
        own = {"DYNAURORA_LOCAL_DIRECTORY": str(directory), "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
        self._environment = {**known, "PATH": path, **own}

    def run(self, *arguments: str) -> str:
        """Run a command, and return what it printed. Raises CalledProcessError."""
        command = ["dynaurora", *arguments]
        answer = subprocess.run(  # noqa: S603  # commands of this file
            command, env=self._environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=sys.stderr, check=False
        )
        if answer.returncode not in {0, 1}:  # `status` says by 1 that there is something to do
            raise subprocess.CalledProcessError(answer.returncode, command)
        return answer.stdout

    def reach(self) -> None:
        """Have commands and the SDK reach the local AWS."""
        lines = self.run("local", "env").splitlines()
        exports = [shlex.split(line.removeprefix("export "))[0] for line in lines if line.startswith("export ")]
        pairs = dict(text.split("=", 1) for text in exports)
        pairs.pop("PATH", None)
        self._environment |= pairs

    def client(self, service: str) -> Any:
        """Return a client of a service of the local AWS."""
        given = self._environment
        return boto3.client(  # type: ignore[call-overload]  # the service is any
            service,
            endpoint_url=given["AWS_ENDPOINT_URL"],
            region_name=given["AWS_DEFAULT_REGION"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        )


def main() -> int:
    """Make all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(Path(directory) / "local")
        try:
            scenes = play(machine)
        finally:
            machine.run("local", "down")
    (IMAGES / "terminal.svg").write_text(print_scenes(scenes), "utf-8")
    return 0


def play(machine: Machine) -> list[tuple[str, str]]:
    """Replicate, backfill and verify a table, draw the dashboard of it, and return commands with what they printed."""
    machine.run("local", "up", "--seed")
    machine.reach()
    began = datetime.now(UTC)
    for command in RUNS:
        machine.run(*command)
        measure_health(machine)
    scenes = [(" ".join(command), machine.run(*command)) for command in SCENES]
    measure_health(machine)
    draw_dashboard(machine, began)
    return scenes


def measure_health(machine: Machine) -> None:
    """Have the function measure that does so by the clock, every five minutes."""
    machine.client("lambda").invoke(FunctionName=f"{STACK}-measure-health", Payload=b"{}")


def draw_dashboard(machine: Machine, began: datetime) -> None:
    """Draw the deployed dashboard, of all that was put since the beginning."""
    cloudwatch = machine.client("cloudwatch")
    deployed = cloudwatch.get_dashboard(DashboardName=f"{STACK}-pipeline")["DashboardBody"]
    body = deployed.replace(*CLUSTER)
    stack = f"{STACK}-{MAPPING.replace('_', '-')}"
    chosen = choose_variables(body, {"mapping": MAPPING, "replication": stack})
    end = datetime.now(UTC) + timedelta(seconds=SECONDS)
    shown = read_shown(cloudwatch, chosen, began, end, SECONDS)
    (IMAGES / "dashboard.svg").write_text(draw(chosen, shown), "utf-8")


def print_scenes(scenes: Sequence[tuple[str, str]]) -> str:
    """Return commands, and what they printed, as the picture of a terminal."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for number, (command, printed) in enumerate(scenes):
        console.print(Text(("\n" if number else "") + f"{PROMPT}dynaurora {command}", style="bold"))
        console.print(Text.from_ansi(printed.rstrip()))
    template = FONT_FACES.sub("", _export_format.CONSOLE_SVG_FORMAT)
    picture = console.export_svg(title="dynaurora", code_format=template, unique_id="terminal")
    return "\n".join(line.rstrip() for line in picture.splitlines()) + "\n"


if __name__ == "__main__":
    sys.exit(main())
