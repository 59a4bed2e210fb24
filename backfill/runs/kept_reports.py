"""Reports that are kept in the landing bucket, of runs, verifications and repairs: found, and read with their pages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backfill.deployment.deployments import require_any
from backfill.terminal.console import WrongUseError, name_command
from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.runs.requests import is_run_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from backfill.deployment.deployments import Deployment
    from dynaurora.aws.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report, and its page where there is one."""

    deployment: Deployment
    run: str
    written_at: datetime
    document: dict[str, Any]
    page: str | None
    """None of a release before pages, and where it could not be made."""

    @property
    def uri(self) -> str:
        """Where the report is."""
        return f"s3://{self.deployment.bucket}/{keys.report(self.deployment.mapping, self.run)}"

    @property
    def page_uri(self) -> str | None:
        """Where its page is."""
        if self.page is None:
            return None
        return f"s3://{self.deployment.bucket}/{keys.report_page(self.deployment.mapping, self.run)}"


def find_report(store: ObjectStore, deployments: Sequence[Deployment], run: str | None) -> KeptReport:
    """Return the report of a run, or the one that was written last.

    Raises WrongUseError where there is none, or several deployments have one of this name.
    """
    require_any(deployments)
    if run is None:
        return find_newest_report(store, deployments)
    known = deployments if is_run_id(run) else []
    found = [kept for one in known if (kept := read_kept(store, one, run))]
    if len(found) > 1:
        stacks = ", ".join(kept.deployment.stack for kept in found)
        raise WrongUseError(f"Several stacks have a report of {run}: {stacks}. Name one with --stack.")
    if not found:
        raise WrongUseError(
            f"There is no report of {run!r}. One is written when a run, a verification or a repair ends;"
            f" without RUN it is the last one. What runs: {name_command('status')}"
        )
    return found[0]


def find_newest_report(store: ObjectStore, deployments: Sequence[Deployment]) -> KeptReport:
    """Return the report that was written last. Raises WrongUseError where there is none."""
    newest: tuple[datetime, str, Deployment] | None = None
    for one in deployments:
        for listed in store.list(one.bucket, keys.reports_prefix(one.mapping)):
            if keys.is_report(listed.key) and (newest is None or listed.modified_at > newest[0]):
                newest = listed.modified_at, keys.run_of_report(one.mapping, listed.key), one
    kept = newest and read_kept(store, newest[2], newest[1])
    if not kept:
        start = name_command("backfill", "start", deployments[0].mapping)
        raise WrongUseError(f"No run has ended yet, so there is no report. Start one with: {start}")
    return kept


def read_kept(store: ObjectStore, deployment: Deployment, run: str) -> KeptReport | None:
    """Return the report of a run in one deployment; None where there is none.

    A page that is older than its report is of an earlier execution of the run.
    """
    key, page_key = keys.report(deployment.mapping, run), keys.report_page(deployment.mapping, run)
    written = {listed.key: listed.modified_at for listed in store.list(deployment.bucket, key.removesuffix("json"))}
    body = read_or_none(store, deployment.bucket, key) if key in written else None
    if body is None:
        return None
    is_there = page_key in written and written[page_key] >= written[key]
    page = read_or_none(store, deployment.bucket, page_key) if is_there else None
    return KeptReport(deployment, run, written[key], json.loads(body), page.decode() if page is not None else None)
