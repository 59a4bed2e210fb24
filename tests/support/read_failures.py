"""Failures as the commands read them."""

from backfill.failures.describe import describe_failure
from backfill.failures.reader import Selection
from tests.support import failure_factories as made

EVERYTHING = Selection(include_parked=True)


def read(store=None, selection=EVERYTHING, *, judging=True):
    return list(made.make_reader(store, judging=judging).read(selection))


def read_one(**objects):
    (failure,) = read(made.make_store(**objects))
    return failure


def explain(failure, *, reveal=False):
    pairs = describe_failure(failure, "again", "web_analytics", reveal=reveal)
    return "\n".join(f"{name}: {value}" if name else f"  {value}" for name, value in pairs)
