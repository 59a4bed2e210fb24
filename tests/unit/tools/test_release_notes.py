"""The notes of a release, from the changelog."""

import datetime as dt

import pytest

from dynaurora import __version__
from tools import release_notes
from tools.release_notes import CHANGELOG, NotesError, extract_notes, find_newest, read_sections

TEXT = """# Changelog

## [Unreleased]

- What comes.

## [0.2.0] - 2026-12-24

### Added

- Two, by [a page](docs/two.md).

## [0.1.0] - 2026-11-28

- One.
"""


def test_the_notes_are_the_section_of_the_tag_and_nothing_else():
    assert extract_notes(TEXT, "v0.2.0", "0.2.0") == "### Added\n\n- Two, by [a page](docs/two.md).\n"


@pytest.mark.parametrize(
    ("text", "tag", "version", "says"),
    [
        (TEXT, "v0.1.0", "0.2.0", "The tag is v0.1.0"),
        (TEXT, "0.2.0", "0.2.0", "tag v0.2.0"),
        (TEXT, "v0.2.0", "0.2.0.dev0", "dynaurora.__version__ is 0.2.0.dev0"),
        (TEXT, "v0.3.0", "0.3.0", r"The newest release of CHANGELOG.md is 0.2.0.*under ## \[0.3.0\]"),
        ("# Changelog\n\n## [Unreleased]\n\n- What comes.\n", "v0.1.0", "0.1.0", "no dated section"),
        ("## [0.1.0] - 2026-11-28\n\n## [0.0.1] - 2026-01-01\n\n- One.\n", "v0.1.0", "0.1.0", "says nothing of 0.1.0"),
    ],
)
def test_a_tag_that_is_no_release_has_no_notes(text, tag, version, says):
    with pytest.raises(NotesError, match=says):
        extract_notes(text, tag, version)


def test_this_version_is_the_newest_release_or_one_that_comes_after_it():
    newest = find_newest(CHANGELOG.read_text("utf-8")).version
    released, coming = ([*map(int, version.removesuffix(".dev0").split("."))] for version in (newest, __version__))
    assert __version__ == newest or (__version__.endswith(".dev0") and coming > released)


def test_what_comes_is_above_the_releases_which_are_in_order():
    first, *released = read_sections(CHANGELOG.read_text("utf-8"))
    assert (first.version, first.date) == ("Unreleased", None)
    dates = [dt.date.fromisoformat(section.date) for section in released]
    assert dates == sorted(dates, reverse=True)
    assert len({section.version for section in released}) == len(released) > 0


def test_the_command_prints_the_notes_or_why_there_are_none(capsys, monkeypatch):
    newest = find_newest(CHANGELOG.read_text("utf-8")).version
    monkeypatch.setattr(release_notes, "__version__", newest)
    assert release_notes.run([f"v{newest}"]) == 0
    assert capsys.readouterr().out.startswith("### ")
    assert release_notes.run(["v0.0.0"]) == 1
    assert "v0.0.0" in capsys.readouterr().err
    assert release_notes.run([]) == 2
