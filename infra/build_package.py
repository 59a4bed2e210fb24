"""Build the one package that all functions share.

    python -m infra.build_package                             for AWS, arm64: build/functions-arm64-py3.13.zip
    python -m infra.build_package --architecture x86_64       for AWS, x86_64
    python -m infra.build_package --region il-central-1       for AWS, with the certificates of that Region
    python -m infra.build_package --architecture local        for this machine's Python, to run the functions locally

The package holds `dynaurora/`, `lambdas/`, the runbooks, which reports have in them, the packages of
requirements/functions.txt (exact versions, hashes checked) and, for AWS, the certificate authorities of Aurora. boto3
is not in it: AWS's runtime brings its own. Mappings are checked here, and modules compiled where there is a Python of
the target's version, so that functions need not do it each time they start. The package for AWS that was asked for last
is also copied to build/functions.zip, the path that the templates name.

The same inputs make the same bytes, file times and order included. Nothing is done again while the inputs are the same,
and downloaded dependencies are kept, so that a change of our own code is built offline, in a second.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, get_args

from dynaurora.aurora.authorities import find_regions
from infra.bytecode import Compiler, compile_directory, compile_sources, find_compiler
from infra.certificate_bundle import BundleMissingError, check_region, obtain_bundle, read_bundle
from infra.places import BUILD, ROOT

Architecture = Literal["arm64", "x86_64", "local"]

LOCK = Path("requirements/functions.txt")
SOURCES = ("dynaurora", "lambdas", "docs/runbooks")
BUNDLE_IN_PACKAGE = "dynaurora/certificates/rds-global-bundle.pem"
TEMPLATES_PACKAGE = "functions.zip"
"""What CodeUri in infra/*.yaml names, under build/."""

AWS_PYTHON = "3.13"
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
GLIBC_MINORS = range(34, 16, -1)
"""Amazon Linux 2023, which AWS runs Python 3.13 on, has glibc 2.34; wheels for older ones run there too."""

UNPACKED_LIMIT = 250 * 1024 * 1024
"""Bytes a function's code may have, unpacked (AWS Lambda quotas)."""

NOT_PACKED = (
    "bin/*",
    "*/tests/*",
    "*/benchmarks/*",
    "*/swagger_ui/*",
    "*.pyi",
    "*.c",
    "*.h",
    "*.dist-info/RECORD",  # names files that are not packed
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    ".lock",
)
"""What functions do not need to run: tests, sources of compiled modules, a browser's user interface, pip's notes."""
NOT_OURS = ("*/__pycache__/*",)
"""What whoever runs our code leaves beside it."""

FILE_TIME = (1980, 1, 1, 0, 0, 0)
FILE_MODE = 0o100644
UNIX = 3


class PackageError(Exception):
    """The package could not be built; the message says why."""


@dataclass(frozen=True)
class Target:
    """What a package is for."""

    python: str
    """Minor version, such as 3.13."""

    architecture: Architecture

    @property
    def name(self) -> str:
        """The package's name under build/, without extension."""
        return f"functions-{self.architecture}-py{self.python}"

    @property
    def is_for_aws(self) -> bool:
        """Whether AWS runs it, not this machine."""
        return self.architecture != "local"


@dataclass(frozen=True)
class Package:
    """A package that is ready to be deployed."""

    target: Target
    archive: Path
    sha256: str
    size: int
    """Bytes of the archive."""

    unpacked_size: int
    """Bytes of its files."""

    is_new: bool
    """Whether it was built by this call, not found."""

    is_compiled: bool
    """Whether it has bytecode."""


def build_package(
    target: Target,
    ca_bundle: str | None = None,
    project: Path = ROOT,
    region: str | None = None,
) -> Package:
    """Return the package for `target`, building it when it is missing or its inputs have changed.

    `project` has the sources.
    `ca_bundle` is a path or URL of a PEM file to use for Aurora's certificate authorities, in place of the downloaded
    one; it has to have a root for `region`. Only packages for AWS have them: a local database has its own authority.

    Raises PackageError or BundleMissingError.
    """
    _check_target(target)
    build = BUILD if project == ROOT else project / "build"
    build.mkdir(parents=True, exist_ok=True)
    with _lock(build / f"{target.name}.lock"):
        compiler = find_compiler(target.python)
        dependencies = _ensure_dependencies(target, project / LOCK, build, compiler)
        bundle = _ensure_bundle(build, ca_bundle, region) if target.is_for_aws else None
        package = _ensure_archive(target, build, _collect_contents(dependencies, project, bundle), compiler)
    if target.is_for_aws:
        _publish(package.archive, build / TEMPLATES_PACKAGE)
    return package


def _check_target(target: Target) -> None:
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not target.is_for_aws and target.python != running:
        raise PackageError(f"A local package is for the Python that builds it, {running}, not {target.python}.")


# Dependencies


def _ensure_dependencies(target: Target, lock: Path, build: Path, compiler: Compiler | None) -> Path:
    """Return a directory with the locked packages for `target`, downloading and compiling them the first time."""
    made_of = lock.read_bytes() + (compiler.release.encode() if compiler else b"")
    digest = hashlib.sha256(made_of).hexdigest()[:16]
    home = build / "dependencies" / f"{target.name.removeprefix('functions-')}-{digest}"
    if not home.is_dir():
        home.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            unfinished = Path(scratch) / "packages"
            _install(target, lock, unfinished)
            if compiler:
                compile_directory(compiler, unfinished)
            unfinished.rename(home)
    return home


def _install(target: Target, lock: Path, directory: Path) -> None:
    """Install the lock's packages: wheels only, each with a hash that the lock knows, and nothing beside them."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-compile"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--requirement", str(lock), "--target", str(directory), *_platform_options(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    if done.returncode:
        reason = done.stderr.strip()[-2000:]
        raise PackageError(f"The packages of {LOCK} could not be installed for {target.name}:\n{reason}")


def _platform_options(target: Target) -> list[str]:
    """Return pip's options for another platform than this one; none for a local package."""
    if target.architecture == "local":
        return []
    machine = MACHINES[target.architecture]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS] + [f"manylinux2014_{machine}"]
    abis = [f"cp{target.python.replace('.', '')}", "abi3", "none"]
    options = ["--python-version", target.python, "--implementation", "cp"]
    options += [option for platform in platforms for option in ("--platform", platform)]
    return options + [option for abi in abis for option in ("--abi", abi)]


def _ensure_bundle(build: Path, given: str | None, region: str | None) -> Path:
    """Return the file with Aurora's certificate authorities: of the given ones, or of those downloaded once.

    What was downloaded, and has no root for the Region, is downloaded again. Raises BundleMissingError.
    """
    kept = build / "certificates" / ("given.pem" if given else "rds-global-bundle.pem")
    kept.parent.mkdir(exist_ok=True)
    if given is not None:
        text = read_bundle(given)
    elif kept.is_file() and (region is None or region in find_regions(kept.read_text("ascii"))):
        return kept
    else:
        text, source = obtain_bundle(region)
        sys.stderr.write(f"The certificate authorities of Amazon RDS are those of {source}.\n")
    check_region(text, region)
    _write_atomically(kept, text.encode())
    return kept


# Package


def _collect_contents(dependencies: Path, project: Path, bundle: Path | None) -> dict[str, bytes]:
    """Return the files of the package by their names in it."""
    files = dict(_walk(dependencies, dependencies))
    for source in SOURCES:
        files.update(_walk(project / source, project, NOT_PACKED + NOT_OURS))
    if bundle is not None:
        files[BUNDLE_IN_PACKAGE] = bundle
    return {name: path.read_bytes() for name, path in files.items()}


def _walk(directory: Path, root: Path, left_out: tuple[str, ...] = NOT_PACKED) -> Iterator[tuple[str, Path]]:
    for path in directory.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not any(fnmatch(name, pattern) for pattern in left_out):
            yield name, path


def _ensure_archive(target: Target, build: Path, contents: dict[str, bytes], compiler: Compiler | None) -> Package:
    """Return the package of `contents`, written only if the one that is there has others."""
    archive, stamp = build / f"{target.name}.zip", build / f"{target.name}.stamp"
    fingerprint = _fingerprint(contents, compiler)
    is_new = not archive.is_file() or not stamp.is_file() or stamp.read_text() != fingerprint
    if is_new:
        if compiler:
            contents |= compile_sources(compiler, {name: data for name, data in contents.items() if _is_ours(name)})
        _check_size(target, contents)
        _write_archive(archive, contents)
        _write_atomically(stamp, fingerprint.encode())
    data = archive.read_bytes()
    with zipfile.ZipFile(archive) as package:
        unpacked_size = sum(entry.file_size for entry in package.infolist())
    digest = hashlib.sha256(data).hexdigest()
    return Package(target, archive, digest, len(data), unpacked_size, is_new, compiler is not None)


def _is_ours(name: str) -> bool:
    return name.endswith(".py") and name.startswith(tuple(f"{source}/" for source in SOURCES))


def _check_size(target: Target, contents: dict[str, bytes]) -> None:
    size = sum(map(len, contents.values()))
    if size > UNPACKED_LIMIT:
        raise PackageError(f"{target.name} has {size:,} bytes unpacked; AWS Lambda takes {UNPACKED_LIMIT:,}.")


def _fingerprint(contents: dict[str, bytes], compiler: Compiler | None) -> str:
    """Return a hash of all names and contents, and of what decides how they are packed: this file and the compiler."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(compiler.release.encode() if compiler else b"")
    for name, data in sorted(contents.items()):
        digest.update(f"{len(name)} {name} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


def _write_archive(archive: Path, contents: dict[str, bytes]) -> None:
    """Write a zip whose bytes depend on `contents` only (and on how this machine's zlib compresses)."""
    with _replacing(archive) as unfinished, zipfile.ZipFile(unfinished, "w") as package:
        for name, data in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, FILE_TIME)
            entry.create_system = UNIX
            entry.external_attr = FILE_MODE << 16
            package.writestr(entry, data, zipfile.ZIP_DEFLATED, compresslevel=9)


def _publish(archive: Path, path: Path) -> None:
    """Copy the archive to where the templates look for it, unless it is there already."""
    if not path.is_file() or path.read_bytes() != archive.read_bytes():
        with _replacing(path) as unfinished:
            shutil.copyfile(archive, unfinished)


# Files


def _write_atomically(path: Path, data: bytes) -> None:
    with _replacing(path) as unfinished:
        unfinished.write_bytes(data)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; it takes the place of `path` only when all went well."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process at a time build a target; the others then find it built."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# Command line


def main(arguments: list[str] | None = None) -> int:
    """Build one package and print what it is. Returns the exit status."""
    options = _parse(arguments)
    try:
        target = Target(options.python, options.architecture)
        package = build_package(target, options.ca_bundle, region=options.region)
    except (PackageError, BundleMissingError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{_describe(package)}\n")
    return 0


def _describe(package: Package) -> str:
    state = "built" if package.is_new else "is up to date"
    size, unpacked = package.size / 1e6, package.unpacked_size / 1e6
    name = os.path.relpath(package.archive)
    line = f"{name} {state}: {size:.1f} MB, {unpacked:.1f} MB unpacked, sha256 {package.sha256}"
    if not package.is_compiled:
        line += f"\nThere is no python{package.target.python} here to compile it with: functions will start slower."
    return line


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.build_package", description="Build the functions' package.")
    parser.add_argument("--architecture", choices=get_args(Architecture), default="arm64", help="default: arm64")
    parser.add_argument(
        "--python", metavar="X.Y", help=f"default: {AWS_PYTHON}, or for local this Python's own version"
    )
    parser.add_argument(
        "--ca-bundle",
        default=os.environ.get("DYNAURORA_CA_BUNDLE"),
        metavar="FILE",
        help="PEM file of Aurora's certificate authorities, or its URL; default: DYNAURORA_CA_BUNDLE, or AWS's own",
    )
    parser.add_argument(
        "--region",
        default=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        metavar="REGION",
        help="refuse to build without its certificate authorities; default: AWS_REGION or AWS_DEFAULT_REGION",
    )
    options = parser.parse_args(arguments)
    local = f"{sys.version_info.major}.{sys.version_info.minor}"
    options.python = options.python or (local if options.architecture == "local" else AWS_PYTHON)
    return options


if __name__ == "__main__":
    sys.exit(main())
