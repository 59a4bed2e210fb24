"""What was read stays on the shelf, and is read again beside whoever looks."""

import threading
from dataclasses import dataclass, field

import click
import pytest

from backfill.terminal.console import say
from backfill.ui import shelf as module
from backfill.ui.shelf import Seen, Shelf
from dynaurora.errors import RegistryUnavailableError

PATIENCE = 30


@dataclass
class Source:
    """Answers with a count, once it may."""

    may: threading.Event = field(default_factory=threading.Event)
    read: int = 0
    problem: Exception | None = None

    def __call__(self) -> int:
        assert self.may.wait(PATIENCE)
        self.read += 1
        if self.problem:
            raise self.problem
        return self.read


@pytest.fixture
def source() -> Source:
    return Source()


def fresh(seconds):
    return lambda _: seconds


def test_who_looks_is_answered_at_once_and_what_is_fresh_is_not_read_again(source):
    shelf = Shelf()
    assert shelf.look("a", source, fresh(60)) == Seen()
    assert shelf.is_reading
    assert shelf.wait("a", source, fresh(60), 0.01) is None
    source.may.set()
    seen = shelf.wait("a", source, fresh(60), PATIENCE)
    assert (seen.value, seen.problem) == (1, None)
    assert shelf.look("a", source, fresh(60)) is seen
    assert shelf.wait("a", source, fresh(0), PATIENCE).value == 2
    assert not shelf.is_reading


def test_what_is_being_read_is_read_once_however_many_look(source):
    shelf = Shelf()
    for _ in range(9):
        shelf.look("a", source, fresh(0))
    source.may.set()
    assert shelf.wait("a", source, fresh(60), PATIENCE).value == 1


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (click.ClickException("No table."), "No table."),
        (RegistryUnavailableError("It is away."), "It is away."),
    ],
)
def test_why_reading_failed_stands_beside_what_was_read_before(source, problem, told):
    source.may.set()
    shelf = Shelf()
    before = shelf.wait("a", source, fresh(60), PATIENCE)
    source.problem = problem
    seen = shelf.wait("a", source, fresh(0), PATIENCE)
    assert (seen.value, seen.seen_at) == (1, before.seen_at)
    assert told in seen.problem
    source.problem = None
    assert shelf.wait("a", source, fresh(0), PATIENCE).problem is None


def test_what_nobody_foresaw_is_told_without_what_it_quotes(source, monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda hooked: raised.append(hooked.exc_type))
    source.may.set()
    source.problem = KeyError("secret")
    seen = Shelf().wait("a", source, fresh(0), PATIENCE)
    assert "KeyError" in seen.problem
    assert "secret" not in seen.problem


def test_what_is_said_meanwhile_is_a_note_and_progress_is_none(capsys):
    def read():
        say("9 read so far", is_progress=True)
        say("The rows are missing.")
        return 1

    assert Shelf().wait("a", read, fresh(60), PATIENCE).notes == ("The rows are missing.",)
    assert capsys.readouterr().err == ""


def test_who_waits_waits_no_longer_once_it_is_closed(source):
    shelf, seen = Shelf(), []
    waiting = threading.Thread(target=lambda: seen.append(shelf.wait("a", source, fresh(60), PATIENCE)))
    waiting.start()
    shelf.close()
    waiting.join(PATIENCE)
    assert seen == [None]
    source.may.set()


def test_what_nobody_asked_about_for_longest_goes_first(monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 4)
    times = iter(range(1000))
    shelf = Shelf(clock=lambda: float(next(times)))
    for name in "abcde":
        assert shelf.wait(name, lambda name=name: name, fresh(1e9), PATIENCE).value == name
    assert shelf.look("e", lambda: "again", fresh(1e9)).value == "e"
    assert shelf.look("a", lambda: "again", fresh(1e9)).value is None
