"""`dynaurora replay`: imports again what a database lacks that was restored to an earlier time."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.options import check_needs_no_answer, json_option, stack_option, yes_option
from backfill.deployment.asking import ask_function
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.changing import ByFunction, apply_patiently
from backfill.deployment.clients import connect, connect_functions, connect_objects
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.runs.executions import describe_execution
from backfill.terminal.console import WrongUseError, name_command, print_json, print_line, say
from backfill.terminal.formatting import format_count, format_iso, format_seconds, format_time, parse_iso
from dynaurora import keys
from dynaurora.batches.batch import Batch
from dynaurora.mappings.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_stepfunctions import SFNClient

    from backfill.deployment.deployments import Deployment
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

ANSWER_SECONDS: Final = 130.0
"""How long find_unimported is waited for, which waits for a database that has paused."""
APPLY_SECONDS: Final = 300.0
"""How long a table is waited for that has to be altered."""
POLL_SECONDS: Final = 1.0
TOLD_SECONDS: Final = 5.0
DIGEST_CHARACTERS: Final = 64
LAG: Final = timedelta(hours=2)
"""Between a batch that lands and its import, unless it waited as failed: retries take more than an hour."""
EPILOG: Final = """\b
Examples:
  dynaurora replay web_analytics --since 2026-11-23T08:00:00Z --dry-run
  dynaurora replay web_analytics --since 2026-11-23T08:00:00Z
  dynaurora replay web_analytics --since 2026-11-23T08:00:00Z --yes --json

It needs cloudformation:DescribeStacks; lambda:InvokeFunction of find-unimported and change-mapping;
states:StartExecution and DescribeExecution of import-batch; and of the landing bucket s3:ListBucket and GetObject.
"""


@dataclass
class Replay:
    """One replay."""

    deployment: Deployment
    store: ObjectStore
    since: datetime
    imported: int = 0
    failed: int = 0

    def ask(self, **more: Any) -> dict[str, Any]:
        """Return what find_unimported answers."""
        document = {"mapping": self.deployment.mapping, "since": self.since.timestamp(), **more}
        return ask_function(connect_functions(ANSWER_SECONDS), self.deployment.find_unimported, document)

    def find_unknown(self, known: list[str]) -> Iterator[Mapping]:
        """Yield the mappings of the registry that the database does not know, in the order of their publication."""
        registry = Registry(self.store, self.deployment.bucket, self.deployment.mapping)
        listed = self.store.list(self.deployment.bucket, keys.mapping_documents(self.deployment.mapping))
        for one in sorted(listed, key=lambda each: each.modified_at):
            digest = one.key.rpartition("/")[2].removesuffix(".json")
            if len(digest) == DIGEST_CHARACTERS and digest not in known:
                yield registry.find(digest)

    def prepare(self, unknown: list[Mapping]) -> None:
        """Have the database know every mapping that wrote rows, and its tables be as the current one wants them."""
        current = Registry(self.store, self.deployment.bucket, self.deployment.mapping).find_current()
        if not self.deployment.change_mapping:
            commands = f"dynaurora mapping apply {self.deployment.mapping} and dynaurora mapping register"
            raise click.ClickException(
                f"The platform has no administrator: prepare the database first, with {commands}."
            )
        way = ByFunction(self.deployment.change_mapping)
        for mapping in unknown:
            if mapping.digest != current.digest:
                way.register(mapping)
        apply_patiently(way, current, APPLY_SECONDS, say, drop=False)

    def find(self) -> list[dict[str, Any]]:
        """Return the descriptors of what is to be imported again."""
        batches: list[dict[str, Any]] = []
        looked_at, told_at, stretch = 0, time.monotonic(), {"prefix": 0, "after": ""}
        while stretch:
            answer = self.ask(stretch=stretch)
            batches += answer["batches"]
            looked_at, stretch = looked_at + answer["looked_at"], answer["stretch"]
            if stretch and time.monotonic() - told_at > TOLD_SECONDS:
                told_at = time.monotonic()
                found = format_count(len(batches), "batch", "batches")
                say(f"{format_count(looked_at, 'object')} looked at, {found} found")
        return batches

    def import_all(self, batches: list[dict[str, Any]], concurrency: int) -> None:
        """Import them, so many at the same time, and tell how far that is."""
        states, told_at = connect().states, time.monotonic()
        with ThreadPoolExecutor(concurrency) as importers:
            for is_imported in importers.map(lambda batch: self._import(states, batch), batches):
                self.imported += is_imported
                self.failed += not is_imported
                if time.monotonic() - told_at > TOLD_SECONDS:
                    told_at = time.monotonic()
                    say(f"{self.imported + self.failed:,} of {format_count(len(batches), 'batch', 'batches')} imported")

    def _import(self, states: SFNClient, batch: dict[str, Any]) -> bool:
        """Import one as every batch is; what fails is kept as a failed batch."""
        named = f"replay-{Batch.from_event({'batch': batch}).id}-{time.time_ns():x}"
        started = states.start_execution(
            stateMachineArn=self.deployment.import_batch_arn, name=named, input=json.dumps({"batch": batch})
        )
        while (execution := describe_execution(states, started["executionArn"])) and execution.is_running:
            time.sleep(POLL_SECONDS)
        return execution is not None and execution.state == "SUCCEEDED"


@click.command(epilog=EPILOG)
@click.argument("mapping")
@click.option(
    "--since",
    required=True,
    metavar="TIME",
    help="The time that the database was restored to, as 2026-11-23T08:00:00Z.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be imported.")
@yes_option
@click.option(
    "--max-concurrency",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    metavar="N",
    help="Batches at the same time.",
)
@stack_option
@json_option
def replay(
    mapping: str, since: str, dry_run: bool, yes: bool, max_concurrency: int, stack: str | None, as_json: bool
) -> None:
    """Import again what MAPPING's database lacks that was restored to an earlier time.

    Its ledger went back with it, and the landing bucket did not: every batch there that was imported, and is not in
    the ledger, is imported once more, of the stream, of backfills and of what was reprocessed. Before that, mappings
    that were applied since are applied again. Changes go on flowing meanwhile. Ended half-way it is just repeated.

    Exit status 0 where all is there again; 1 where batches failed, or the bucket has lost some to its lifecycle since
    TIME: then a backfill with --sweep brings the rest.
    """
    restored_to = parse_time(since)
    check_needs_no_answer(as_json=as_json, is_answered=yes or dry_run)
    with explained_errors():
        deployment = choose_deployment(find_deployments(connect().cloudformation, stack), mapping)
        if not deployment.find_unimported:
            raise WrongUseError(
                f"The platform {deployment.platform} is of a release that cannot replay. Deploy it: dynaurora deploy"
            )
        began = time.monotonic()
        work = Replay(deployment, connect_objects(), restored_to)
        state = work.ask()
        unknown = [*work.find_unknown(state["known"])]
        whole_from = datetime.now(UTC) - timedelta(days=state["retention_days"]) + LAG
        batches = work.find() if state["current"] else []
        plan = {
            "mapping": mapping,
            "since": format_iso(restored_to),
            "whole": restored_to >= whole_from,
            "whole_from": format_iso(whole_from),
            "unknown_mappings": [each.digest for each in unknown],
            "batches": len(batches),
            "of": count_sources(batches),
        }
        if not as_json:
            report_plan(plan, whole_from, is_known=bool(state["current"]))
        if dry_run:
            if as_json:
                print_json(plan)
            return
        if not yes:
            click.confirm("Import it?", abort=True)
        work.prepare(unknown)
        work.import_all(work.find(), max_concurrency)
    seconds = round(time.monotonic() - began, 1)
    done = {**plan, "batches": work.imported + work.failed, "imported": work.imported, "failed": work.failed}
    report_done({**done, "seconds": seconds}, stack, as_json=as_json)
    if work.failed or not plan["whole"]:
        raise SystemExit(1)


def parse_time(text: str) -> datetime:
    """Return a time that a person gave. Raises WrongUseError where it is none, or has not come yet."""
    try:
        time_given = parse_iso(text)
    except (OverflowError, ValueError):
        time_given = None
    if time_given is None:
        raise WrongUseError(f"--since is {text!r}, and a time is given as 2026-11-23T08:00:00Z.")
    if time_given > datetime.now(UTC):
        raise WrongUseError(f"--since is {text!r}, which has not come yet.")
    return time_given


def count_sources(batches: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many batches are of which source."""
    sources = [str(batch["source"]) for batch in batches]
    return {source: sources.count(source) for source in sorted(set(sources))}


def report_plan(plan: dict[str, Any], whole_from: datetime, *, is_known: bool) -> None:
    """Tell people what would be done."""
    of = ", ".join(f"{number:,} of {source}" for source, number in plan["of"].items())
    found = format_count(plan["batches"], "batch", "batches")
    print_line(f"{plan['mapping']}: {found} to import again{f' ({of})' if of else ''}")
    if not is_known:
        print_line("  The database has no tables of it: they are made first, and the batches found then.")
    if plan["unknown_mappings"]:
        known = format_count(len(plan["unknown_mappings"]), "mapping")
        print_line(f"  {known} applied since: the tables are made as the current one wants them")
    if not plan["whole"]:
        since = format_time(whole_from)
        print_line(f"  The bucket has all batches since {since} only: a backfill with --sweep is needed afterwards")


def report_done(done: dict[str, Any], stack: str | None, *, as_json: bool) -> None:
    """Tell what was done, and what comes next."""
    verify = name_command("verify", done["mapping"], stack=stack)
    backfill = name_command("backfill", "start", done["mapping"], "--sweep", stack=stack)
    reprocess = name_command("reprocess", "start", done["mapping"], stack=stack)
    next_command = reprocess if done["failed"] else verify if done["whole"] else backfill
    if as_json:
        print_json({**done, "next": next_command})
        return
    failed = f", {done['failed']:,} failed and are kept as failed batches" if done["failed"] else ""
    imported = format_count(done["imported"], "batch", "batches")
    print_line(f"{done['mapping']}: {imported} imported in {format_seconds(done['seconds'])}{failed}")
    print_line(f"next: {next_command}")
