"""Unpacking the distribution's packages: the real apt and dpkg, on a mirror made here. Nothing here needs a server."""

import hashlib
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local.unpacking import Packages, UnavailableError, find_keyrings

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is Debian's and Ubuntu's")

PROGRAM = Path("/bin/echo").resolve()


def find_loader() -> Path:
    """The loader of this machine's programs, which is beside their C library."""
    told = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True, check=True).stdout
    return Path(next(word for word in told.split() if "ld-linux" in word)).resolve()


@dataclass
class Mirror:
    """A mirror of Debian with few packages, and a machine whose only source it is."""

    directory: Path
    listed: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, files: dict[str, Path], *, suite: str = "stable", depends: str = "") -> None:
        """Build a package that holds copies of files, by their new places."""
        tree = self.directory / "trees" / suite / name
        for place, source in files.items():
            (tree / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tree / place)
        architecture = subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout
        control = (
            f"Package: {name}\nVersion: 1\nArchitecture: {architecture.strip()}\nMaintainer: none <none@example.org>\n"
        )
        control += f"Depends: {depends}\n" * bool(depends) + "Description: none\n"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(control)
        archive = self.directory / f"pool/{suite}-{name}.deb"
        archive.parent.mkdir(exist_ok=True)
        subprocess.run(["dpkg-deb", "-Znone", "--build", tree, archive], check=True, capture_output=True)
        found = archive.read_bytes()
        place = f"Filename: pool/{archive.name}\nSize: {len(found)}\nSHA256: {hashlib.sha256(found).hexdigest()}\n"
        self.listed.setdefault(suite, []).append(control + place)
        self._write(suite, architecture.strip())

    def _write(self, suite: str, architecture: str) -> None:
        packages = f"main/binary-{architecture}/Packages"
        text = "\n".join(self.listed[suite]).encode()
        top = self.directory / "dists" / suite
        (top / packages).parent.mkdir(parents=True, exist_ok=True)
        (top / packages).write_bytes(text)
        (top / "Release").write_text(
            f"Origin: Debian\nLabel: Debian\nSuite: {suite}\nCodename: {suite}\nComponents: main\n"
            f"Architectures: {architecture}\nDate: Sat, 01 Jan 2026 00:00:00 UTC\n"
            f"SHA256:\n {hashlib.sha256(text).hexdigest()} {len(text)} {packages}\n"
        )


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Mirror:
    made = Mirror(tmp_path / "mirror")
    made.directory.mkdir()
    sources = tmp_path / "etc/sources"
    sources.mkdir(parents=True)
    url = f"copy:{made.directory}"
    if getattr(request, "param", "") == "deb822":
        (sources / "x.sources").write_text(f"Types: deb\nURIs: {url}\nSuites: stable\nComponents: main\nTrusted: yes\n")
    else:
        (sources / "x.list").write_text(f"deb [trusted=yes] {url} stable main\n")
    (tmp_path / "etc/apt.conf").write_text(
        f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{sources}";\n'
        'Acquire::AllowInsecureRepositories "true";\nAPT::Get::AllowUnauthenticated "true";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "etc/apt.conf"))
    monkeypatch.setattr("local.unpacking.ENVIRONMENTS", tmp_path / "venvs")
    return made


def add_libraries(mirror: Mirror, *, suite: str = "stable") -> None:
    loader, kind = find_loader(), f"{platform.machine()}-linux-gnu"
    libraries = {f"usr/lib/{kind}/{name}": loader.parent / name for name in (loader.name, "libc.so.6")}
    mirror.add("libc", libraries, suite=suite)


def start(home: Path, *arguments: str) -> str:
    command = [home / "usr/sbin/served", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout


@pytest.mark.parametrize("mirror", ["one line", "deb822"], indirect=True)
def test_a_program_is_started_by_its_own_loader(mirror: Mirror) -> None:
    add_libraries(mirror)
    mirror.add("served", {"usr/sbin/served": PROGRAM, "usr/bin/client": PROGRAM}, depends="libc")
    packages = Packages("served", ("served",))
    home = packages.ensure()
    assert start(home, "a b", "'c'") == "a b 'c'\n"
    for program in ("usr/sbin/served", "usr/bin/client"):
        script = (home / program).read_text()
        assert f" {home}/usr/lib/" in script
        assert " /usr/lib/" not in script
    shutil.rmtree(mirror.directory)
    assert packages.ensure() == home  # and nothing is fetched again


def test_the_highest_version_of_a_name_is_taken(mirror: Mirror) -> None:
    add_libraries(mirror)
    for version in ("8.0", "10.11", "8.4"):
        mirror.add(f"served-{version}", {f"usr/share/served/{version}": PROGRAM}, depends="libc")
    mirror.add("served-plugin-99", {"usr/share/served/99": PROGRAM})
    home = Packages("served", ("served",)).ensure()
    assert [path.name for path in (home / "usr/share/served").iterdir()] == ["10.11"]


def test_an_interrupted_unpacking_is_done_again(mirror: Mirror) -> None:
    add_libraries(mirror)
    mirror.add("served", {"usr/sbin/served": PROGRAM}, depends="libc")
    packages = Packages("served", ("served",))
    (packages.home / "usr/sbin").mkdir(parents=True)
    (packages.home / "usr/sbin/served").write_text("half of it")
    (packages.home / "apt/lists").mkdir(parents=True)
    home = packages.ensure()
    assert start(home, "whole") == "whole\n"
    assert not (home / "apt").exists()


def test_a_folder_of_another_place_is_unpacked_again(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_libraries(mirror)
    mirror.add("served", {"usr/sbin/served": PROGRAM}, depends="libc")
    home = Packages("served", ("served",)).ensure()
    moved = home.parent.rename(tmp_path / "other place")
    monkeypatch.setattr("local.unpacking.ENVIRONMENTS", moved)
    assert start(Packages("served", ("served",)).ensure(), "here") == "here\n"


@pytest.mark.parametrize("mirror", ["one line", "deb822"], indirect=True)
def test_what_this_release_lacks_comes_from_unstable(mirror: Mirror) -> None:
    add_libraries(mirror)
    add_libraries(mirror, suite="sid")
    mirror.add("served", {"usr/sbin/served": PROGRAM}, suite="sid", depends="libc")
    with pytest.raises(UnavailableError, match=r"^served: no such package in this release$"):
        Packages("stable", ("served",)).ensure()
    assert start(Packages("served", ("served",), from_unstable=True).ensure(), "new") == "new\n"


def test_what_is_nowhere_is_named(mirror: Mirror) -> None:
    add_libraries(mirror)
    add_libraries(mirror, suite="sid")
    with pytest.raises(UnavailableError, match=r"^served and other: no such package in .* and Debian's unstable suite"):
        Packages("served", ("served", "other"), from_unstable=True).ensure()


def test_a_mirror_that_is_away_is_told_in_one_line(mirror: Mirror) -> None:
    with pytest.raises(UnavailableError, match=r"^no source of this machine is a mirror of Debian \(.*stable") as told:
        Packages("served", ("served",), from_unstable=True).ensure()
    assert "\n" not in str(told.value)


def test_an_archive_that_is_not_what_the_lists_say_is_refused(mirror: Mirror) -> None:
    add_libraries(mirror)
    mirror.add("served", {"usr/sbin/served": PROGRAM}, depends="libc")
    (mirror.directory / "pool/stable-served.deb").write_bytes(b"something else")
    with pytest.raises(UnavailableError, match=r"apt-get could not download served: E: "):
        Packages("served", ("served",)).ensure()


@pytest.mark.parametrize(
    "text",
    [
        "deb [arch=amd64 signed-by={key}] http://mirror.example.org/debian stable main",
        "Types: deb\nURIs: http://mirror.example.org/debian\nSigned-By: {key}\n",
    ],
)
def test_keyrings_are_those_that_the_source_names_and_the_distribution_s(tmp_path: Path, text: str) -> None:
    key, source = tmp_path / "own.gpg", tmp_path / "sources"
    key.touch()
    source.write_text(text.format(key=key))
    assert find_keyrings(source)[0] == key
    assert key not in find_keyrings(tmp_path / "missing")
