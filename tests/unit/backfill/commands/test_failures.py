from dataclasses import replace

import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands.failures import find_newest, open_output, take_newest
from backfill.failures.reader import Selection
from backfill.looking import Look
from backfill.terminal.console import WrongUseError
from tests.support import failure_factories as made
from tests.support.backfill_factories import DEPLOYMENT
from tests.support.read_failures import read


def test_the_newest_come_first_and_only_so_many():
    known, newest = take_newest(iter(read()), 3)
    assert known == 7
    assert [failure.key for failure in newest] == [made.FIREHOSE_KEY, made.FIREHOSE_KEY, made.UNFORWARDED_KEY]
    assert newest[0].first_seen_at > newest[1].first_seen_at


def test_of_those_of_one_time_the_first_come_first():
    (failure,) = read(made.make_store(OVERSIZE_KEY=made.failed_lines(made.failed_record())))
    known, newest = take_newest((replace(failure, number=number) for number in range(1, 100)), 2)
    assert (known, [one.number for one in newest]) == (99, [1, 2])
    assert take_newest(iter(()), 2) == (0, [])


def test_an_export_is_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "failures.jsonl"
    path.write_text("older and longer")
    path.chmod(0o644)
    with open_output(path) as lines:
        lines.write("{}\n")
    assert path.read_text() == "{}\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_export_to_where_no_file_can_be_is_refused(tmp_path):
    with pytest.raises(WrongUseError, match="No such file or directory"), open_output(tmp_path / "no" / "f.jsonl"):
        pass


def test_what_came_last_is_shown_where_no_failure_is_named():
    looks = [Look(DEPLOYMENT, made.make_reader())]
    assert find_newest(looks, Selection())[1].key == made.FIREHOSE_KEY
    assert find_newest(looks, Selection(prefix="failed_batches/"))[1].key.startswith("failed_batches/")
    with pytest.raises(WrongUseError, match="No failure is like that"):
        find_newest(looks, Selection(only_parked=True))


def test_a_failure_is_named_or_chosen_but_not_both():
    answer = CliRunner().invoke(main, ["failures", "show", "3f2a9c0d41be", "--parked"])
    assert answer.exit_code == 2
    assert "not both" in answer.stderr


@pytest.mark.parametrize("option", ["--parked", "--include-parked", "--superseded"])
def test_what_is_archived_is_chosen_by_that_alone(option):
    answer = CliRunner().invoke(main, ["failures", "list", "--archived", option])
    assert answer.exit_code == 2
    assert "leave out" in answer.stderr
