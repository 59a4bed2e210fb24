"""The status of the local AWS: what runs where, and how much is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.errors import RetryableError
from local.deployment import read_deployments
from local.pipeline import ENDED_BADLY, Pipeline
from local.running import connect_administrator, describe, find_api
from local.state import read_state

if TYPE_CHECKING:
    from pathlib import Path

    from local.state import State


def read_status(directory: Path) -> dict[str, Any]:
    """Return whether it is `running`, and then its places and processes and, once deployed, the pipelines' counts.

    They stand at each replication and, where there is one, under `pipeline` too.
    """
    state = read_state(directory)
    if state is None:
        return {"running": False}
    status: dict[str, Any] = {
        "running": True,
        "endpoint_url": state.endpoint_url,
        "aurora": {"host": state.aurora.host, "port": state.aurora.port},
        "processes": {
            "supervisor": state.supervisor.pid,
            "emulator": state.emulator.pid,
            "database": state.server.pid if state.server else None,
        },
    }
    api = find_api(state)
    if deployments := read_deployments(api):
        status |= describe(state, deployments)
        counted = {one.mapping.name: count_pipeline(state, Pipeline(api, one)) for one in deployments}
        if len(deployments) == 1:
            (status["pipeline"],) = counted.values()
        for name, counts in counted.items():
            status["replications"][name] |= {"pipeline": counts}
    return status


def count_pipeline(state: State, pipeline: Pipeline) -> dict[str, Any]:
    """Return how much is on its way; what only the database knows is None while that is down."""
    return {
        "waiting": count_waiting(state, pipeline),
        "executions": {
            "running": pipeline.count_executions("RUNNING"),
            "succeeded": pipeline.count_executions("SUCCEEDED"),
            "failed": pipeline.count_executions(*ENDED_BADLY),
        },
        "items": pipeline.count_items(),
        "rows": count_rows(state, pipeline),
    }


def count_waiting(state: State, pipeline: Pipeline) -> int | None:
    """Return the streamed batches that have landed, are not imported and have not failed."""
    landed = pipeline.count_objects(keys.processed_prefix(pipeline.mapping.name))
    try:
        with connect_administrator(state) as aurora:
            imported = pipeline.read_imports(aurora).batches
    except RetryableError:
        return None
    return max(0, landed - imported - pipeline.count_failed_batches("stream"))


def count_rows(state: State, pipeline: Pipeline) -> int | None:
    """Return the rows of the views, or None while the database is down."""
    views = [f"{sql.quote(target.database)}.{sql.quote(target.table)}" for target in pipeline.mapping.targets]
    try:
        with connect_administrator(state) as aurora:
            counts = [aurora.query(f"SELECT COUNT(*) FROM {view}") for view in views]  # noqa: S608  # names, quoted
    except RetryableError:
        return None
    return sum(int(rows) for ((rows,),) in counts)
