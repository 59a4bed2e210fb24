"""What a database server has to be to stand for Aurora MySQL here; `mariadb` and `mysql` are the two that do.

A server of the wanted engine that is on the machine is used as it is. Otherwise the distribution's packages are
unpacked (`local.unpacking`). DYNAURORA_UNPACKED=1 has what is on the machine passed over. DYNAURORA_UNSYNCED=1 has
nothing waited for until it is on the disk, which tests have no need of: a killed server loses nothing by it, and a
machine without power does.
"""

import os
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from local.unpacking import Packages, UnavailableError

LOAD_ROLE: Final = "AWS_LOAD_S3_ACCESS"
"""The role that Aurora MySQL 3 wants active in a session that loads from S3."""

UNPACKED_VARIABLE: Final = "DYNAURORA_UNPACKED"
UNSYNCED_VARIABLE: Final = "DYNAURORA_UNSYNCED"
UNSYNCED_SETTINGS: Final = {"innodb-flush-method": "nosync"}
_FURTHER_PLACES: Final = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec")
"""Where programs are too, and an ordinary user's PATH does not lead."""
_APPARMOR: Final = Path("/etc/apparmor.d")

COMMON_SETTINGS: Final = {
    # As in Aurora MySQL 3 (MySQL 8.0).
    "character-set-server": "utf8mb4",
    "sql-mode": (
        "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
        "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
    ),
    "transaction-isolation": "REPEATABLE-READ",
    "innodb-lock-wait-timeout": "50",
    "innodb-flush-log-at-trx-commit": "1",
    "max-allowed-packet": "64M",
    "default-time-zone": "+00:00",
    "default-storage-engine": "InnoDB",
    # One person's machine.
    "innodb-buffer-pool-size": "128M",
    "innodb-buffer-pool-dump-at-shutdown": "OFF",
    "innodb-buffer-pool-load-at-startup": "OFF",
    "innodb-use-native-aio": "OFF",  # containers may forbid it, and run out of its requests
    "key-buffer-size": "1M",
    "performance-schema": "OFF",
    "max-connections": "200",
    "require-secure-transport": "ON",  # a socket is one; the gateway refuses clients without TLS
    # Reachable by this user's processes only.
    "skip-networking": "ON",
    "skip-name-resolve": "ON",
}
"""Settings that every engine takes, where a client of Aurora MySQL could notice a difference, or the machine could."""


class DatabaseServerError(Exception):
    """The local database server cannot be had or used; the message says what to do."""


class ServerSetupError(DatabaseServerError):
    """A server's data or users could not be set up."""


class ServerUnavailableError(DatabaseServerError):
    """An engine's server is not on the machine and cannot be put there; the message ends with what to do."""


@dataclass(frozen=True)
class Programs:
    """Where a server's programs are."""

    server: Path
    root: Path | None = None
    """The folder that they were unpacked into; None for programs of the machine, which know their own places."""

    def locate_files(self) -> list[str]:
        """Return the options that tell unpacked programs where their other files are."""
        if self.root is None:
            return []
        options = [f"--basedir={self.root / 'usr'}"]
        if messages := next(self.root.glob("usr/share/*/english/errmsg.sys"), None):
            share = messages.parent.parent
            options += [f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}"]
        plugins = self.root / "usr/lib/mysql/plugin"
        return [*options, f"--plugin-dir={plugins}"] if plugins.is_dir() else options


class Engine(ABC):
    """One kind of server: everything in which it differs from the others."""

    name: ClassVar[str]
    """How it is asked for."""
    title: ClassVar[str]
    """How it is called in messages."""
    version: ClassVar[re.Pattern[str]]
    """Finds major and minor version in what the program says of itself; nothing in what another engine's says."""
    oldest: ClassVar[tuple[int, int]]
    program: ClassVar[str]
    packages: ClassVar[Packages]
    client: ClassVar[str]
    """Its command-line client."""
    data_mark: ClassVar[str]
    """A file that its data directory has, and no other engine's."""
    settings: ClassVar[Mapping[str, str]]
    """Settings besides the common ones."""
    unsynced_settings: ClassVar[Mapping[str, str]] = UNSYNCED_SETTINGS
    """Those of a server that waits for no disk."""

    def find_programs(self) -> Programs:
        """Return the server's programs: the machine's own, else those of the distribution, unpacked when first needed.

        Raises ServerUnavailableError where there are neither.
        """
        if server := self._find_installed():
            return Programs(server)
        root = self._unpack()
        return Programs(root / "usr/sbin" / self.program, root)

    def find_client(self) -> Path:
        """Return the engine's command-line client, found like the server."""
        found = shutil.which(self.client)
        return Path(found) if found and not prefers_unpacked() else self._unpack() / "usr/bin" / self.client

    def find_client_directory(self) -> Path:
        """Return a directory for the PATH in which the engine's client is called `mysql`, as people call it."""
        client = self.find_client()
        directory = self.packages.home / "clients"
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("mysql", self.client):
            if not (directory / name).exists():
                (directory / name).unlink(missing_ok=True)
                (directory / name).symlink_to(client)
        return directory

    @abstractmethod
    def initialize(self, programs: Programs, data: Path) -> list[str]:
        """Return the command that creates the server's own tables in a new data directory."""

    @abstractmethod
    def declare_role(self, administrator: str) -> Iterator[str]:
        """Yield the SQL, for the server itself to execute, of the load role that a user may grant to others."""

    @abstractmethod
    def activate_role(self, user: str) -> str:
        """Return the statement that makes the load role active in each session of a user."""

    def list_options(self) -> list[str]:
        """Return the options of the server's command line that are the same for every directory."""
        unsynced = self.unsynced_settings if is_set(UNSYNCED_VARIABLE) else {}
        settings = {**COMMON_SETTINGS, **self.settings, **unsynced}
        return [*run_as_root(), *(f"--{name}={value}" for name, value in settings.items())]

    def _find_installed(self) -> Path | None:
        """Return the machine's own server, if it is of this engine, new enough and free to work in any directory."""
        if prefers_unpacked():
            return None
        found = find_program(self.program)
        if found is None or is_confined(found):
            return None
        told = subprocess.run([found, "--no-defaults", "--version"], capture_output=True, text=True, check=False).stdout
        version = self.version.search(told)
        is_usable = version is not None and (int(version[1]), int(version[2])) >= self.oldest
        return found if is_usable else None

    def _unpack(self) -> Path:
        try:
            return self.packages.ensure()
        except UnavailableError as error:
            oldest = ".".join(map(str, self.oldest))
            raise ServerUnavailableError(
                f"{self.title}'s server cannot be had here: {error}."
                f" Put a {self.program} of {self.title} {oldest} or newer on the PATH, and run the same command again."
            ) from error


def prefers_unpacked() -> bool:
    """Tell whether programs of the machine are passed over."""
    return is_set(UNPACKED_VARIABLE)


def is_set(variable: str) -> bool:
    """Tell whether an environment variable says yes."""
    return os.environ.get(variable, "") not in ("", "0")


def find_program(name: str) -> Path | None:
    """Return one of the machine's programs, also where an ordinary user's PATH does not lead."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_FURTHER_PLACES]))
    return Path(found) if found else None


def is_confined(program: Path) -> bool:
    """Tell whether AppArmor keeps a program to directories of its own, as Ubuntu does with MySQL's server.

    A profile without rules, as MariaDB's packages bring one, confines nothing.
    """
    name = str(program.resolve()).strip("/").replace("/", ".")
    try:
        profile = (_APPARMOR / name).read_text(errors="replace")
    except OSError:
        return False
    has_rules = any(line.strip() and not line.lstrip().startswith("#") for line in profile.splitlines())
    return has_rules and not (_APPARMOR / "disable" / name).exists()


def run_as_root() -> list[str]:
    """Return the option without which a server refuses to run as root; no other user has to be named."""
    return ["--user=root"] if os.geteuid() == 0 else []
