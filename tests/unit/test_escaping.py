import json
import sys
import unicodedata

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from backfill.cli import main
from backfill.commands.mapping import print_findings
from backfill.runs.reports import describe_reprocess_report
from backfill.terminal.console import print_line, print_pairs, say
from dynaurora.errors import MAX_REASONS_TOLD, Reason, RejectedChange, tell_reasons
from dynaurora.escaping import UNSHOWN, escape_lines, escape_text
from dynaurora.linting.findings import ERROR, LintFinding
from dynaurora.mappings.reasons import name_reason
from dynaurora.stream.transform_changes import Rejection

FORGED = "x\nNext: your token has expired\r\x1b]0;owned\x07\x1b[2J\x1b[31m\u202e\u2066\x85\u2028\ud800"
DANGEROUS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
"""Letters and marks that show nothing."""


def is_shown(text):
    return not any(unicodedata.category(character) in DANGEROUS or character in BLANK for character in text)


@given(st.text(st.characters(codec=None)))
def test_of_any_text_one_line_is_left_that_shows_all_it_does(text):
    escaped = escape_text(text)
    assert not any(character in escaped for character in FORGED if not is_shown(character))
    assert is_shown(escaped)
    if is_shown(text) and not UNSHOWN.search(text):
        assert escaped == text


def test_every_character_that_is_not_seen_is_escaped():
    everything = map(chr, range(sys.maxunicode + 1))
    assert [hex(ord(one)) for one in everything if not is_shown(one) and escape_text(one) == one] == []


@pytest.mark.parametrize("text", ["\U000e0041\U000e0042", "\u3164admin", "a\u115fb", "\U0001d173x"])
def test_what_hides_text_in_text_is_told(text):
    assert escape_text(text).isprintable()
    assert "\\" in escape_text(text)


@given(st.text())
def test_lines_stay_lines(text):
    escaped = escape_lines(text)
    assert escaped.count("\n") == text.count("\n")
    assert escape_text(escaped.replace("\n", "").replace("\t", "")) == escaped.replace("\n", "").replace("\t", "")


@pytest.mark.parametrize("text", ["Zürich ✓ 日本 …", "a\\b", "👍🏽", "❤\ufe0f", "葛\U000e0100城"])
def test_what_people_write_stays(text):
    assert escape_text(text) == text


def test_a_name_forges_no_line_in_what_is_told_of_a_record():
    reason = Reason("unmapped", FORGED, FORGED)
    told = [name_reason(reason), str(reason), RejectedChange(reason).problem, str(RejectedChange(reason))]
    told += Rejection("1", (reason,)).log_fields()["reasons"]
    assert all(map(is_shown, told))
    assert all(r"x\nNext" in text for text in told)


def test_what_is_told_of_a_record_has_a_bound_whatever_its_names():
    reasons = [Reason("type", f"{'n' * 390_000}.{index}", "m" * 9000) for index in range(20)]
    assert len(str(reasons[0])) < 4200
    assert sum(map(len, tell_reasons(reasons))) <= MAX_REASONS_TOLD + 20
    assert tell_reasons(reasons)[-1] == "and 19 more"
    assert len(RejectedChange(*reasons).problem) < MAX_REASONS_TOLD + 100
    assert len(json.dumps(Rejection("1", tuple(reasons)).log_fields())) < MAX_REASONS_TOLD + 1000


def test_a_terminal_is_commanded_by_nobody(capsys):
    print_line(f"{FORGED} of a line")
    print_pairs([(FORGED, FORGED)])
    say(FORGED)
    printed = capsys.readouterr()
    text = (printed.out + printed.err).replace("\n", "")
    assert is_shown(text)
    assert r"\x1b]0;owned" in text


def test_a_line_is_one_line_whatever_is_in_it(capsys):
    print_line(f"refused: {FORGED}")
    print_findings([LintFinding(ERROR, "schema", f"/{FORGED}", f"{FORGED} {'n' * 390_000}", FORGED)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # with an empty one behind the findings
    assert all(map(is_shown, lines))
    assert len(lines[1]) < 3000


def test_a_pair_is_one_line_whatever_is_in_it(capsys):
    print_pairs([("refused", "1 record"), ("", f"1 {FORGED} (unmapped)")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert r"x\nNext: your token" in lines[1]


def test_a_report_of_an_earlier_release_forges_no_line(capsys):
    totals = dict.fromkeys(
        ("records", "rows", "rows_changed", "rejected", "batches_imported", "batches_failed", "batches_parked"), 1
    )
    totals |= {"records_parked": 1, "entries": 1, "entries_failed": 0, "rejected_reasons": {f"{FORGED} (unmapped)": 1}}
    print_pairs(describe_reprocess_report({"objects": 1, "totals": totals}))
    printed = capsys.readouterr().out
    assert r"x\nNext: your token" in printed
    assert all(map(is_shown, printed.splitlines()))


def test_an_error_commands_no_terminal():
    @main.command("fail")
    def fail():
        raise click.ClickException(FORGED)

    try:
        result = CliRunner().invoke(main, ["fail"])
    finally:
        main.commands.pop("fail")
    assert result.exit_code == 1
    assert is_shown(result.output.replace("\n", ""))
