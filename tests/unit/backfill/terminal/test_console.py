import pytest

from backfill.terminal.console import telling_at_interrupt


def test_whoever_ends_a_command_is_told_what_goes_on_without_it(capsys):
    with pytest.raises(KeyboardInterrupt), telling_at_interrupt("The run goes on."):
        raise KeyboardInterrupt
    assert capsys.readouterr() == ("", "The run goes on.\n")


def test_who_fails_or_is_done_is_not(capsys):
    with pytest.raises(OSError, match="away"), telling_at_interrupt("The run goes on."):
        raise OSError("away")
    with telling_at_interrupt("The run goes on."):
        pass
    assert capsys.readouterr() == ("", "")
