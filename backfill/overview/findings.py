"""What `dynaurora doctor` finds of a replication at work: whether its reader reads, what failed, how late rows are.

The first is needed, and a "no"; the others are warnings: replication works, and something is wrong all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from backfill.deployment.diagnosis import make_finding, split
from backfill.deployment.stream_readers import describe_stop, look_at_reader
from backfill.overview.kept import count_kept
from backfill.overview.standing import Standing, now
from dynaurora.dynamodb.source import find_mapping_problems
from dynaurora.target.check_target import UNKNOWN, WARNING, YES, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.deployment.deployments import Deployment
    from backfill.deployment.lags import Lag
    from backfill.overview.facts import Facts
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.source import AwsSource

READER: Final = "the stream's reader"
FAILURES: Final = "failures"
VERIFYING: Final = "verification by the clock"
LATENESS: Final = "how late rows are"


def diagnose_reader(functions: Any, source: AwsSource, mapping: str) -> Iterator[Finding]:
    """Yield whether the table's stream is read by the stack's event source mapping."""

    def look() -> Iterator[tuple[str, str]]:
        reader = look_at_reader(functions, source.mapping)
        if reader.is_stopped:
            yield describe_stop(reader, now()), f"Have it read again: `dynaurora resume {mapping}`."
        else:
            yield from split(find_mapping_problems(source.describe(), mapping))

    return make_finding(READER, look)


def diagnose_failures(deployment: Deployment, store: ObjectStore) -> Iterator[Finding]:
    """Yield whether anything is kept as failed, or parked."""

    def look() -> Iterator[tuple[str, str]]:
        kept = count_kept(deployment, store)
        seen = Standing(deployment, now(), kept=kept)
        yield from ((todo.problem, f"See what they are: `{todo.remedy}`.") for todo in seen.about_failures())

    return make_finding(FAILURES, look, problem_is=WARNING)


def diagnose_lag(deployment: Deployment, lag: Lag | str) -> Iterator[Finding]:
    """Yield whether rows are late, by what was measured last; why that cannot be seen is a text."""
    if isinstance(lag, str):
        yield Finding(LATENESS, UNKNOWN, lag)
        return
    late = [*Standing(deployment, now(), lag=lag).about_lag()]
    yield from (Finding(LATENESS, WARNING, todo.problem, f"See {todo.remedy}.") for todo in late)
    if not late:
        none = lag.rows is None and lag.reader is None
        yield Finding(LATENESS, YES, "none came in the last quarter of an hour" if none else "")


def diagnose_verifying(deployment: Deployment, facts: Facts) -> Iterator[Finding]:
    """Yield whether the last run that was to verify failed, or its schedule is overdue; nothing where there is none."""
    if "error" in facts:
        yield from [Finding(VERIFYING, UNKNOWN, facts["error"])] if deployment.verification_schedule else []
        return
    found = [*Standing(deployment, now(), facts=facts).about_verification_runs()]
    yield from (Finding(VERIFYING, WARNING, todo.problem, f"Verify it: `{todo.remedy}`.") for todo in found)
    if not found and deployment.verification_schedule:
        none = "" if facts.get("verification") else ", of which none has ended yet"
        yield Finding(VERIFYING, YES, f"{deployment.verification_schedule}{none}")
