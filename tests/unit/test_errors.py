import re

import pytest

from dynaurora import errors
from dynaurora.errors import (
    DynauroraError,
    Reason,
    RejectedChange,
    RetryableError,
    TerminalError,
    remedy_for,
    subclasses,
)

LINE = re.compile(r"^(?P<lead>[ │├└─]*)(?P<name>[A-Z]\w+)", re.MULTILINE)


def drawn_tree():
    """Return each class of the module's drawing with its parent."""
    parents, path = {}, []
    for match in LINE.finditer(errors.__doc__.partition("\n\n")[2].partition("\n\n")[0]):
        depth = (len(match["lead"]) - 4) // 4
        path = [*path[:depth], match["name"]]
        parents[match["name"]] = path[-2] if depth else None
    return parents


def test_the_drawing_is_the_tree():
    classes = {cls.__name__: cls.__base__.__name__ for cls in subclasses(DynauroraError)}
    assert drawn_tree() == {"DynauroraError": None} | classes


def test_every_error_says_what_to_do():
    assert [cls for cls in subclasses(DynauroraError) if not cls.remedy] == [TerminalError]


def test_a_message_is_the_problem_then_the_remedy():
    error = errors.DeadlockError("Aurora said 1213: Deadlock found.")
    assert str(error) == f"Aurora said 1213: Deadlock found. {RetryableError.remedy}"
    assert error.problem == "Aurora said 1213: Deadlock found."


def test_a_rejection_tells_all_its_reasons():
    error = RejectedChange(Reason("type", "a.b", "is a string"), Reason("depth", "", "is nested too deep"))
    assert error.problem == "a.b: is a string (type); item: is nested too deep (depth)."
    assert len(error.reasons) == 2


@pytest.mark.parametrize(
    "name", [cls.__name__ for cls in subclasses(DynauroraError)] + ["States.Timeout", "", "Unknown"]
)
def test_every_error_name_has_a_remedy(name):
    assert remedy_for(name).endswith(".")


def test_a_class_name_is_what_a_state_machine_sees():
    for cls in subclasses(DynauroraError):
        assert cls.__name__.endswith("Error") or cls is RejectedChange
        assert getattr(errors, cls.__name__) is cls
