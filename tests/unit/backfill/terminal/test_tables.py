"""Tables at the widths that terminals have, of values that people did not choose."""

import io
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from backfill.commands import list as listing
from backfill.commands import local, mapping_infer, status
from backfill.commands.doctor import print_findings
from backfill.failures import describe
from backfill.overview import telling
from backfill.terminal import console
from backfill.terminal.tables import fold, format_table
from dynaurora.escaping import UNSHOWN
from dynaurora.target.check_target import NO, Finding
from dynaurora.verification.verdicts import Tally

RUN = (
    "20261128T081500Z",
    "web_analytics",
    "SUCCEEDED",
    "2026-11-28 08:15:00Z",
    "2 min 5 s",
    "1,000,000",
    "28",
    "1,028",
)
STANDING = (
    *("web_analytics", "paused, 23 h 3 min left", "2 min 5 s", "about 1,234,567", "12,345+", "6"),
    *("succeeded 2026-11-28", "1,234 differ 2026-11-28", "dynaurora backfill start web_analytics --watch (+2)"),
)
FAILURE = (
    *(
        "3f2a9c0d41be",
        "record",
        "2026-11-28 08:15:00Z",
        "12",
        "yes",
        "page_id=S:/a/very/long/path?x=1, activity_dt=S:…",
    ),
    *("maxLength", "payload.device.location.country", "The text has 300 characters, and the column takes 64 of them"),
)
ATTRIBUTE = (
    "payload.device.platform.version",
    "99.9 %, 12 null",
    "texts of at most 40 characters",
    "version",
    "VARCHAR(64)",
)
TABLES = {
    "status": (telling.HEADER, STANDING, telling.NUMERIC, (len(telling.HEADER) - 1,)),
    "list": (listing.HEADER, RUN, listing.NUMERIC, ()),
    "failures": (describe.HEADER, FAILURE, describe.NUMERIC, describe.DETAILS),
    "infer": (mapping_infer.HEADER, ATTRIBUTE, frozenset({1}), ()),
}
HOSTILE = "\x1b[2J\x1b]0;owned\x07x\ny\r\x9b31m\u202eabc\u200b日本語日本語👍🏽 ｗｉｄｅ "


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", TABLES)
def test_tables_of_commands_fit_and_break_no_word(name, width):
    header, row, numeric, below = TABLES[name]
    lines = format_table([header, row, row], numeric, width, below=below)
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).split()
    assert all(word in words for cell in row for word in cell.split())


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", TABLES)
def test_nothing_of_a_hostile_or_long_value_is_lost_or_commands_the_terminal(name, width):
    header, row, numeric, below = TABLES[name]
    for index in range(len(row)):
        changed = (*row[:index], HOSTILE + "k" * 300 + "end", *row[index + 1 :])
        lines = format_table([header, changed], numeric, width, below=below)
        assert max(map(cell_len, lines)) <= width
        assert all(line.isprintable() for line in lines)
        assert "".join("".join(lines).split()).count("k") >= 300


def test_without_a_width_each_row_is_one_line():
    assert format_table([("RUN", "ROWS"), ("a", "10"), ("longer", "5")], frozenset({1})) == [
        "RUN     ROWS",
        "a         10",
        "longer     5",
    ]
    assert format_table([]) == []
    assert len(format_table([("a", "b"), ("x" * 5000, "y\nz")])) == 2


def test_wide_characters_take_two_cells():
    assert format_table([("名", "1"), ("ab", "2")], header=False) == ["名  1", "ab  2"]


def test_a_long_text_is_folded_in_its_column():
    rows = [("1,000", "the text of the item is longer than the column allows"), ("5", "short")]
    assert format_table(rows, frozenset({0}), 40, header=False) == [
        "1,000  the text of the item is longer",
        "       than the column allows",
        "    5  short",
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "arn:aws:states:us-east-1:000000000000:execution:one",
            ["arn:aws:states:us-east-1:", "000000000000:execution:one"],
        ),
        (
            "see s3://bucket/reports/run=web_analytics-1/report.json",
            ["see", "s3://bucket/reports/run=", "web_analytics-1/report.", "json"],
        ),
        ("k" * 30, ["k" * 26, "k" * 4]),
        ("日" * 15, ["日" * 13, "日" * 2]),
        ("", [""]),
    ],
)
def test_a_word_longer_than_a_line_is_broken_behind_a_separator(text, lines):
    assert fold(text, 26) == lines


@given(st.text(), st.integers(2, 60))
def test_folding_loses_nothing_but_blanks(text, width):
    assert "".join("".join(fold(text, width)).split()) == "".join(text.split())


def test_folding_a_value_of_400_kb_ends():
    assert len(fold("x" * 400_000, 60)) == 6667


def test_what_is_to_be_done_stands_below_where_the_others_need_the_room():
    rows = [("MAPPING", "TO DO"), ("orders", "dynaurora backfill start orders --watch"), ("devices", "-")]
    assert format_table(rows, frozenset(), 44, below=(1,)) == [
        "MAPPING",
        "orders",
        "  → dynaurora backfill start orders --watch",
        "devices",
    ]


def test_a_row_whose_words_do_not_fit_is_told_name_by_name():
    rows = [("KEY", "TYPE"), ("k" * 50, "VARCHAR(64)"), ("b", "INT")]
    assert format_table(rows, frozenset(), 40) == [
        f"KEY  {'k' * 35}",
        f"     {'k' * 15}",
        "TYPE VARCHAR(64)",
        "",
        "KEY  b",
        "TYPE INT",
    ]


@given(
    st.lists(st.lists(st.text(), min_size=3, max_size=3), min_size=2, max_size=4),
    st.integers(30, 120),
    st.booleans(),
    st.sampled_from([(), (2,), (1, 2), (0, 2)]),
)
def test_any_table_fits(rows, width, header, below):
    lines = format_table([("A", "B", "C"), *rows], frozenset({1}), width, header=header, below=below)
    assert all(cell_len(line) <= width and not UNSHOWN.search(line) for line in lines)


@pytest.fixture(params=[80, 100])
def screen(request, monkeypatch):
    """What a terminal of so many columns is printed to."""
    file = io.StringIO()
    file.isatty = lambda: True
    shown = Console(file=file, width=request.param, force_terminal=True, soft_wrap=True, highlight=False, emoji=False)
    monkeypatch.setattr(console, "output", shown)
    monkeypatch.setattr(local, "output", shown)
    monkeypatch.setenv("NO_COLOR", "1")
    return file


def test_a_comparison_fits_and_shows_what_an_item_says_as_text(screen):
    found = Tally(items=10**9, rows=10**9, identical=10**9, differing=1, examples=[HOSTILE, "[bold]not markup[/]"])
    found.reasons["[/] is no markup \x1b[31m"] += 1
    local.print_comparisons({"web_analytics": found, "[red]orders": found})
    text = screen.getvalue()
    assert "[bold]not markup[/]" in text
    assert "[/] is no markup \\x1b[31m" in text
    assert "[red]orders" in text
    assert "\x1b[2J" not in text
    assert "\x07" not in text


def test_pairs_go_on_below_their_value(screen):
    console.print_pairs([("failure", "word " * 60), ("key", "k" * 200)])
    lines = screen.getvalue().splitlines()
    width = console.output.width
    assert max(map(len, lines)) <= width
    assert all(line.startswith(" " * 16) for line in lines if not line.startswith(("failure", "key")))
    assert "".join(lines).count("k") == 201


@pytest.mark.parametrize("width", ["80", "100"])
def test_what_a_doctor_finds_goes_on_below_itself_and_no_word_is_broken(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{'dynaurora-web-analytics-' * 4}forward-changes"
    detail = f"the reader of the table's stream is not enabled, which {arn} would be told of"
    remedy = "Enable it with `dynaurora resume web_analytics`; rows come then, as the stream has kept their changes."
    print_findings([Finding("stream reader", NO, detail, remedy)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= int(width)
    assert lines[0].startswith("✗ stream reader: the reader")
    assert all(line.startswith("  ") for line in lines[1:])
    assert " ".join(remedy.split()) in " ".join(" ".join(lines).split())
    assert arn in "".join(line.strip() for line in lines)
    assert {word for line in lines for word in line.split() if ":" not in word and "-" not in word} <= {
        *f"✗ stream {detail} {remedy}".split()
    }


def test_what_a_doctor_finds_is_on_a_line_where_nobody_looks(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    print_findings([Finding("stream reader", NO, "word " * 60, "then " * 60)])
    first, second = capsys.readouterr().out.splitlines()
    assert (first[:2], second[:8]) == ("✗ ", "    then")


def test_lines_are_whole_where_nobody_looks(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    console.print_table([telling.HEADER, STANDING], telling.NUMERIC)
    assert len(capsys.readouterr().out.splitlines()) == 2
    monkeypatch.setenv("COLUMNS", "80")
    console.print_table([telling.HEADER, STANDING], telling.NUMERIC)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_look_at_all_replications_has_a_line_for_what_is_to_be_done(screen, monkeypatch):
    monkeypatch.setattr(status, "summarize_standing", lambda _: STANDING)
    lines = status.render([type("Standing", (), {"todo": ["something"]})()], is_one=False)
    assert "  → dynaurora backfill start web_analytics --watch (+2)" in lines
    assert max(map(len, lines)) <= console.output.width


@pytest.mark.parametrize(
    ("variables", "has_codes"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1"}, False),
    ],
    ids=str,
)
def test_colours_are_for_terminals_and_for_who_wants_them(variables, has_codes):
    program = "from backfill.runs.screens import show_text; from backfill.terminal.console import output;"
    program += "output.print(show_text('well', style='green'))"
    known = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "NO_COLOR"}}
    command = [sys.executable, "-c", program]
    answer = subprocess.run(
        command, env={**known, "TERM": "xterm", **variables}, capture_output=True, text=True, check=True
    )
    assert ("\x1b[32m" in answer.stdout) == has_codes
    assert "well" in answer.stdout
