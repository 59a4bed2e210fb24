"""How much CPU time each function takes to be imported from the package that is deployed.

    python -m benchmarks.cold_start [--profile NAME]

The package is built for this machine's Python and unpacked. A function is imported as Lambda imports it: with the
runtime's own Python packages and the package's, unable to write, and in an environment that lets the tracer know where
it is. All are imported several times, in turn, each time by a process of its own; medians count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from statistics import median

from benchmarks.results import Result, is_quick, print_results
from dynaurora import settings
from infra.build_package import Target, build_package
from infra.places import ROOT
from local import venvs

MOST = 1.6
"""Times that the import of a function may take, of what none of them can do without."""
BASELINE = "botocore.session, pymysql"
MOST_MEGABYTES = 20
ENVIRONMENT = {
    "LAMBDA_TASK_ROOT": "/var/task",
    "AWS_LAMBDA_FUNCTION_NAME": "dynaurora-function",
    "POWERTOOLS_SERVICE_NAME": "function",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    # What a function is told, it takes for text or a number.
    **{
        name.upper(): "1"
        for kind in vars(settings).values()
        if isinstance(kind, type) and issubclass(kind, settings.Settings)
        for name in kind.list_fields()
    },
    "MAPPING": "web_analytics",
    "TTL_DELETES": "replicate",
}
TIMED = "import time; started = time.process_time(); import {name}; print(time.process_time() - started)"


def measure() -> list[Result]:
    """Import every function, and weigh the package."""
    rounds = 1 if is_quick() else 7
    package = build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local"))
    names = sorted(path.stem for path in (ROOT / "lambdas").glob("*_*.py") if path.stem != "__init__")
    with tempfile.TemporaryDirectory(prefix="dynaurora-bench-") as directory:
        unpack(package.archive, Path(directory))
        modules = {name: f"lambdas.{name}" for name in names} | {BASELINE: BASELINE}
        taken: dict[str, list[float]] = {name: [] for name in modules}
        for _ in range(rounds):
            for name, module in modules.items():
                taken[name].append(float(import_module(module, Path(directory), TIMED)) * 1000)
    milliseconds = {name: median(values) for name, values in taken.items()}
    baseline = milliseconds.pop(BASELINE)
    slowest, megabytes = max(milliseconds.values()) / baseline, package.size / 1e6
    by_time = sorted(milliseconds.items(), key=lambda pair: -pair[1])
    return [
        Result(
            f"cold start: import of each of {len(names)} functions",
            f"import of {BASELINE}",
            f"≤ {MOST} × its CPU time, each",
            f"{slowest:.2f} × ({baseline:.0f} ms; " + "; ".join(f"{name} {value:.0f}" for name, value in by_time) + ")",
            slowest <= MOST,
        ),
        Result("package, zipped", "–", f"≤ {MOST_MEGABYTES} MB", f"{megabytes:.1f} MB", megabytes <= MOST_MEGABYTES),
    ]


def unpack(archive: Path, directory: Path) -> None:
    """Unpack a package."""
    with zipfile.ZipFile(archive) as package:
        package.extractall(directory)


def import_module(name: str, directory: Path, statement: str, *options: str) -> str:
    """Return what a statement on a module prints, in a process that has the package and the runtime."""
    command = [str(venvs.ensure("runtime")), "-B", *options, "-c", statement.format(name=name)]
    environment = {**ENVIRONMENT, "PATH": os.environ["PATH"]}
    return subprocess.run(  # noqa: S603 (our own functions)
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def main() -> None:
    """Measure, or show what a function's import is made of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", metavar="NAME", help="of this function, print what each module took (importtime)")
    name = parser.parse_args().profile
    if not name:
        print_results(measure)
        return
    package = build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local"))
    with tempfile.TemporaryDirectory(prefix="dynaurora-bench-") as directory:
        unpack(package.archive, Path(directory))
        import_module(f"lambdas.{name}", Path(directory), "import {name}", "-X", "importtime")


if __name__ == "__main__":
    main()
