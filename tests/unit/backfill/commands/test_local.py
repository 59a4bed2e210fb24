"""What `dynaurora local compare` prints of what it found."""

from backfill.commands.local import print_comparisons
from dynaurora.verification.verdicts import Tally


def test_rows_that_the_table_has_no_column_for_are_told_below_it(capsys):
    print_comparisons({"orders": Tally(items=9, rows=9, identical=2, behind=3, older_mapping=4), "devices": Tally()})
    printed = capsys.readouterr().out
    assert "orders: 3 behind\n" in printed
    assert "orders: 4 as an older mapping made them; a backfill completes them: " in printed
    assert "backfill start orders --watch\n" in printed
    assert "devices:" not in printed
