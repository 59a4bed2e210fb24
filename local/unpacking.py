"""Programs of the distribution's own packages, unpacked into a folder: as any user, beside whatever is installed.

    .venvs/<name>/usr/…       the packages' files, all their libraries included
    .venvs/<name>/programs/   the programs themselves; at their usual places are scripts that start them

apt fetches the packages by name, with lists, cache and package state of its own. Nothing counts as installed, so every
library comes too, the C library included, and a program is started by its own loader: it does not matter which release
it was built for. The *stamp* is written last: what was interrupted is done again. With a fitting stamp, nothing is read
from the network. Two processes may ask at once: the second waits for the first.

Only the standard library is used.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.places import ENVIRONMENTS
from local.installing import Line, count_packages
from local.venvs import STAMP, hold_lock

_FORMAT: Final = 1
"""Of what is unpacked; another number has everything unpacked anew."""
_UNNEEDED: Final = ("perl", "libperl", "libc-gconv")
"""How packages begin that scripts and conversions want which nothing here uses; a third of all."""
_KEYRINGS: Final = tuple(Path("/usr/share/keyrings") / f"debian-archive-keyring.{end}" for end in ("gpg", "pgp"))
_SIGNED_BY: Final = re.compile(r"signed-by\s*[:=]\s*(/[^\]\s]+)", re.IGNORECASE)
_ELF: Final = b"\x7fELF"


class UnavailableError(Exception):
    """Packages cannot be had on this machine; the message is one line that says why."""


@dataclass(frozen=True)
class Packages:
    """Packages to unpack together."""

    name: str
    """Of the folder."""
    names: tuple[str, ...]
    """What the packages are called; a release may have a version behind it (`mysql-server-core-8.0`)."""
    from_unstable: bool = False
    """Whether Debian's unstable suite is asked where the machine's own release does not have them."""

    @property
    def home(self) -> Path:
        """The folder they are unpacked into."""
        return ENVIRONMENTS / self.name

    def ensure(self) -> Path:
        """Return the folder, unpacking the packages first where that is not done.

        Raises UnavailableError where this machine cannot have them.
        """
        stamp = self._compute_stamp()
        if not self._is_finished(stamp):
            with hold_lock(self.home.with_suffix(".lock")):
                if not self._is_finished(stamp):  # another process may have done it while this one waited
                    self._create(stamp)
        return self.home

    def _compute_stamp(self) -> str:
        """Return what the folder's content depends on; its scripts name its path."""
        known = [str(_FORMAT), str(self.home), *self.names, _read_release("VERSION_CODENAME")]
        return hashlib.sha256("\0".join(known).encode()).hexdigest()

    def _is_finished(self, stamp: str) -> bool:
        try:
            return (self.home / STAMP).read_text() == stamp
        except FileNotFoundError:
            return False

    def _create(self, stamp: str) -> None:
        print(f"{self.name}: unpacking {', '.join(self.names)} of the distribution", file=sys.stderr, flush=True)  # noqa: T201
        shutil.rmtree(self.home, ignore_errors=True)
        apt, line = Apt(self.home / "apt"), Line(self.name)
        with line:
            line.show("fetching packages")
            archives = self._fetch(apt)
            for number, archive in enumerate(archives, 1):
                line.show(f"{number} of {len(archives)} packages, {archive.name.partition('_')[0]}")
                _run(["dpkg-deb", "--extract", str(archive), str(self.home)], f"{archive.name} could not be unpacked")
        shutil.rmtree(self.home / "apt")
        make_startable(self.home)
        unfinished = self.home / f"{STAMP}.new"
        unfinished.write_text(stamp)
        unfinished.rename(self.home / STAMP)
        ready = f"ready, {count_packages(len(archives))} in {line.seconds:.0f} s"
        print(f"{self.name}: {ready}", file=sys.stderr, flush=True)  # noqa: T201

    def _fetch(self, apt: "Apt") -> list[Path]:
        """Return the archives of the packages and of what they depend on, of this release or of unstable."""
        apt.update()
        found = [apt.find(name) for name in self.names]
        if None in found and self.from_unstable:
            apt.turn_to_unstable()
            found = [apt.find(name) for name in self.names]
        missing = [name for name, package in zip(self.names, found, strict=True) if package is None]
        if missing:
            suites = "this release" + (" and Debian's unstable suite" if apt.is_unstable else "")
            raise UnavailableError(f"{' and '.join(missing)}: no such package in {suites}{apt.complaint}")
        return [archive for archive in apt.download([p for p in found if p]) if not archive.name.startswith(_UNNEEDED)]


class Apt:
    """apt with a state of its own: it reads the machine's sources, proxies and keys, and writes to one directory."""

    def __init__(self, directory: Path) -> None:
        """Describe it; `directory` is created. Raises UnavailableError where the machine has no apt."""
        for program in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(program) is None:
                raise UnavailableError(f"{program} is missing: packages come from Debian or Ubuntu")
        self.is_unstable = False
        self.complaint = ""
        """What went wrong when the lists were fetched, for a message; one of several sources may be away."""
        self._directory = directory
        self._configuration = directory / "apt.conf"
        self._configure()

    def update(self) -> None:
        """Fetch the lists of packages."""
        done = self._run("apt-get", "update")
        problems = re.findall(r"^[EW]: .*", done.stderr, re.MULTILINE)
        self.complaint = f" ({problems[0]})" if problems else ""

    def find(self, name: str) -> str | None:
        """Return what a package is called in the sources: by its name, or with the highest version behind it."""
        called = re.compile(rf"{re.escape(name)}(-([\d.]+))?")
        found = [
            match for known in self._run("apt-cache", "pkgnames").stdout.split() if (match := called.fullmatch(known))
        ]
        # A name may be known only because others mention it.
        found = [match for match in found if self._run("apt-cache", "show", "--no-all-versions", match[0]).stdout]
        best = max(found, key=lambda match: (match[1] is None, _number(match[2] or "")), default=None)
        return best[0] if best else None

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Fetch packages and all they depend on; return the archives."""
        options = ("--yes", "--no-install-recommends", "--download-only")
        done = self._run("apt-get", *options, "install", *packages)
        if done.returncode != 0:
            raise UnavailableError(f"apt-get could not download {' '.join(packages)}: {_last_line(done.stderr)}")
        archives = sorted((self._directory / "cache" / "archives").glob("*.deb"))
        for package in packages:
            if not any(archive.name.startswith(f"{package}_") for archive in archives):
                raise UnavailableError(f"apt-get kept no archive of {package}, as for sources that begin with file:")
        return archives

    def turn_to_unstable(self) -> None:
        """From now on, ask the unstable suite of the mirror that this machine takes Debian from, and nothing else.

        Raises UnavailableError on machines that are not Debian.
        """
        layout = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)"
        targets = self._run("apt-get", "indextargets", "--format", layout, "Created-By: Packages").stdout
        rows = [line.split("|") for line in targets.splitlines()]
        mirror = next((row for row in rows if row[:3] == ["Debian", "Debian", "main"]), None)
        if mirror is None:
            raise UnavailableError(f"no source of this machine is a mirror of Debian{self.complaint}")
        keys = find_keyrings(Path(mirror[4].rpartition(":")[0]))
        source = ["Types: deb", f"URIs: {mirror[3]}", "Suites: sid", "Components: main"]
        source += [f"Signed-By: {', '.join(map(str, keys))}"] if keys else []
        (self._directory / "unstable.sources").write_text("\n".join(source) + "\n")
        self.is_unstable = True
        self._configure()
        self.update()

    def _configure(self) -> None:
        """Write the configuration, which apt reads after the machine's own."""
        for name in ("lists/partial", "cache/archives/partial", "log"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        (self._directory / "status").touch()
        self._configuration.write_text("\n".join(self._list_settings()) + "\n")

    def _list_settings(self) -> Iterator[str]:
        place = self._directory
        yield "#clear APT::Update;"  # what the machine does after each update of its own lists
        yield f'Dir::State "{place}";'
        yield f'Dir::State::lists "{place}/lists/";'
        yield f'Dir::State::status "{place}/status";'
        yield f'Dir::Cache "{place}/cache";'
        yield f'Dir::Cache::archives "{place}/cache/archives/";'
        yield f'Dir::Log "{place}/log";'
        yield 'Dir::Etc::preferences "/dev/null";'
        yield 'Dir::Etc::preferencesparts "/dev/null";'
        yield 'APT::Sandbox::User "root";'  # another user could not write to the directory
        yield 'APT::Keep-Downloaded-Packages "true";'
        yield 'Acquire::Languages "none";'
        yield 'Acquire::Retries "3";'
        for listed in ("Contents-deb", "DEP-11", "DEP-11-icons", "DEP-11-icons-small"):
            yield f'Acquire::IndexTargets::deb::{listed}::DefaultEnabled "false";'
        if self.is_unstable:
            yield f'Dir::Etc::sourcelist "{place}/unstable.sources";'
            yield 'Dir::Etc::sourceparts "/dev/null";'

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, f"--config-file={self._configuration}", *arguments]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment
        )


def find_keyrings(sources: Path) -> list[Path]:
    """Return the keyrings that vouch for a mirror: those its sources' file names, and Debian's own."""
    try:
        named = [Path(path) for path in _SIGNED_BY.findall(sources.read_text(errors="replace"))]
    except OSError:
        named = []
    return [path for path in dict.fromkeys([*named, *_KEYRINGS]) if path.is_file()]


def make_startable(home: Path) -> None:
    """Put a script at the place of each unpacked program, which starts it with its own loader and libraries.

    Raises UnavailableError where no loader was unpacked.
    """
    loader = next(home.glob("usr/lib/*/ld-linux*.so.*"), None) or next(home.glob("lib/*/ld-linux*.so.*"), None)
    if loader is None:
        raise UnavailableError(f"the packages in {home} have no loader (ld-linux) for this machine")
    libraries = ":".join(str(path) for path in find_libraries(home, loader.parent.name))
    found = [*home.glob("usr/bin/*"), *home.glob("usr/sbin/*")]
    for program in [path for path in found if _is_program(path)]:
        moved = home / "programs" / program.name
        moved.parent.mkdir(exist_ok=True)
        program.rename(moved)
        start = shlex.join([str(loader), "--library-path", libraries, str(moved)])
        program.write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        program.chmod(0o755)


def find_libraries(home: Path, triplet: str) -> list[Path]:
    """Return the directories that unpacked libraries are in; `triplet` is what the machine's kind is called there."""
    tops = [home / "usr/lib" / triplet, home / "lib" / triplet]
    private = {path.parent for top in tops for path in top.glob("*/lib*.so*")}
    private |= {path.parent for path in home.glob("usr/lib/mysql/private/lib*.so*")}
    return [path for path in (*tops, *sorted(private)) if path.is_dir()]


def _is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_ELF)) == _ELF


def _run(command: list[str], problem: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UnavailableError(f"{problem}: {_last_line(done.stderr)}")


def _last_line(text: str) -> str:
    """Return the last error of an output, or its last line."""
    lines = [line for line in text.strip().splitlines() if line.startswith("E: ")] or text.strip().splitlines()
    return lines[-1] if lines else "no reason given"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)


def _read_release(field: str) -> str:
    """Return a field of the machine's os-release, or nothing."""
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(rf'^{field}="?([^"\n]*)', text, re.MULTILINE)
    return found[1] if found else ""
