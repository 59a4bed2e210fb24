"""Looking at replications: AWS is asked about each, beside the others, and the database about some at a time.

What does not answer leaves a part of a standing unknown, with the reason, and nothing else.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.aws_errors import explain_any
from backfill.deployment.clients import connect_functions, connect_objects, connect_to
from backfill.deployment.lags import Lag, read_lags
from backfill.deployment.stream_readers import MISSING, StreamReader, list_readers, read_reader
from backfill.overview.facts import ANSWER_SECONDS, group_by_function, read_facts
from backfill.overview.kept import count_kept
from backfill.overview.standing import Standing, now
from dynaurora.errors import DynauroraError
from dynaurora.failures.lost_records import list_losses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from backfill.deployment.deployments import Deployment
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.readers import Stretch

AT_ONCE: Final = 10
"""Questions at the same time, as many as the SDK keeps connections for."""

Answer = TypeVar("Answer")


class Lookout:
    """Looks at replications, again and again with the same clients."""

    def __init__(self, deployments: Sequence[Deployment]) -> None:
        self.deployments = deployments
        self._functions: Any = connect_to("lambda")
        self._invoked = connect_functions(ANSWER_SECONDS)
        self._dynamodb: Any = connect_to("dynamodb")
        self._cloudwatch: Any = connect_to("cloudwatch")
        self._store: ObjectStore = connect_objects()

    def look(self) -> list[Standing]:
        """Return how each replication stands, in their order."""
        uuids = [one.event_source_mapping for one in self.deployments]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            lags = pool.submit(attempt, lambda: read_lags(self._cloudwatch, self.deployments))
            facts = [pool.submit(read_facts, self._invoked, some) for some in group_by_function(self.deployments)]
            readers = attempt(lambda: list_readers(self._functions, uuids))
            parts = [pool.submit(self._look_at, one, readers) for one in self.deployments]
            return [self._join(part, lags.result(), facts) for part in parts]

    def _look_at(self, deployment: Deployment, readers: Any) -> Parts:
        reader = self._find_reader(deployment, readers)
        problem = attempt(lambda: self._find_stream_problem(deployment, reader))
        losses = attempt(lambda: tuple(list_losses(deployment.own_place, self._store, int(now().timestamp()))))
        return Parts(deployment, reader, problem, attempt(lambda: count_kept(deployment, self._store)), losses)

    def _find_reader(self, deployment: Deployment, readers: Any) -> StreamReader | Unseen:
        if isinstance(readers, Unseen):
            return readers
        found = readers.get(deployment.event_source_mapping)
        return attempt(lambda: read_reader(self._functions, found)) if found else StreamReader(MISSING)

    def _find_stream_problem(self, deployment: Deployment, reader: StreamReader | Unseen) -> str | None:
        """Return why a table's changes are read by nobody, whatever the state of the reader is."""
        try:
            table = self._dynamodb.describe_table(TableName=deployment.table)["Table"]
        except self._dynamodb.exceptions.ResourceNotFoundException:
            return f"there is no table {deployment.table}"
        if not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
            return f"the stream of {deployment.table} is off"
        read = None if isinstance(reader, Unseen) else reader.stream_arn
        latest = table.get("LatestStreamArn")
        return f"its reader reads an earlier stream than {latest}" if read and read != latest else None

    def _join(self, part: Future[Parts], lags: Any, facts: Sequence[Future[Any]]) -> Standing:
        parts = part.result()
        stack = parts.deployment.stack
        lag: Lag | Unseen = lags if isinstance(lags, Unseen) else lags[stack]
        seen = {"reader": parts.reader, "lag": lag, "failed": parts.kept, "stream": parts.stream_problem}
        seen["losses"] = parts.losses
        known: dict[str, Any] = {name: None if isinstance(one, Unseen) else one for name, one in seen.items()}
        return Standing(
            deployment=parts.deployment,
            seen_at=now(),
            reader=known["reader"],
            stream_problem=known["stream"] or describe_unseen(parts.stream_problem),
            lag=known["lag"],
            kept=known["failed"],
            losses=known["losses"],
            facts=next(found for each in facts if (found := each.result().get(stack)) is not None),
            unseen={name: one.reason for name, one in seen.items() if isinstance(one, Unseen)},
        )


@dataclass(frozen=True, slots=True)
class Unseen:
    """Why something could not be seen."""

    reason: str


@dataclass(frozen=True, slots=True)
class Parts:
    """What was asked about one replication."""

    deployment: Deployment
    reader: StreamReader | Unseen
    stream_problem: str | Unseen | None
    kept: Any
    losses: tuple[Stretch, ...] | Unseen


def attempt(ask: Callable[[], Answer]) -> Answer | Unseen:
    """Return an answer, or why there is none."""
    try:
        return ask()
    except (DynauroraError, BotoCoreError, ClientError) as error:
        return Unseen(explain_any(error))


def describe_unseen(problem: str | Unseen | None) -> str | None:
    """Return a problem of its own, where it could not be seen whether there is one."""
    return f"its stream cannot be seen: {problem.reason}" if isinstance(problem, Unseen) else None
