"""A project's tables on the local AWS: created where they are not there, replicated, filled from files."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from dynaurora.mappings.key_types import guess_key_types
from local.deployment import deploy_platform, deploy_replication, find_deployment
from local.pipeline import Pipeline
from local.source import create_table, has_table, switch_on_stream
from local.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.verdicts import Tally
    from local.api import Api
    from local.deployment import Database, Deployment
    from local.items import ItemFile
    from local.state import State

DEPLOYERS: Final = 4
"""Replications that are deployed side by side: more gain nothing on a machine's few processors."""
FIRST_SECONDS: Final = 12.0
"""How long items may be missing while nothing more arrives: functions of many tables may start for the first time."""


def replicate(
    api: Api,
    database: Database,
    mappings: Sequence[Mapping],
    *,
    platform: str,
    items: Sequence[ItemFile],
    report: Callable[[str], None],
) -> list[Deployment]:
    """Deploy a platform and a replication by each mapping, and write the items; return what was deployed.

    Files are checked before anything is made. Raises ItemsError, DeploymentError and what these raise.
    """
    types = {file.mapping.name: file.check() for file in items}
    shared = deploy_platform(api, database, name=platform, report=report)

    def deploy(mapping: Mapping) -> Deployment:
        stream = "" if find_deployment(api, mapping.name) else _ready_stream(api, mapping, types.get(mapping.name))
        return deploy_replication(api, shared, mapping, source_stream_arn=stream, report=report)

    with ThreadPoolExecutor(DEPLOYERS) as pool:
        deployments = list(pool.map(deploy, mappings))
    for file in items:
        report(f"Writing the items of {file.path} to {file.mapping.source_table}")
        count = file.write(api.dynamodb)
        report(f"  {count:,} items are written")
    return deployments


def _ready_stream(api: Api, mapping: Mapping, types: dict[str, str] | None) -> str:
    """Return the ARN of the table's stream; empty where the stack creates the table, by what the mapping says."""
    if not has_table(api.dynamodb, mapping.source_table):
        if types is None or types == guess_key_types(mapping):
            return ""
        create_table(api.dynamodb, mapping, types)
    return switch_on_stream(api.dynamodb, mapping.source_table)


def compare_tables(state: State, api: Api, deployment: Deployment, seconds: float) -> Tally:
    """Compare a table with its rows, key by key, once nothing is on its way; after so many seconds in any case."""
    watch = Watch(state, Pipeline(api, deployment))
    return watch.compare(time.monotonic() + seconds, FIRST_SECONDS)
