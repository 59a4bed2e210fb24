"""What reads the tables' streams, event source mappings: whether they do, and how they are paused and read on.

A paused reader is disabled, and has two tags: since when, and until when it has to read again, which is a day after the
oldest change that it had not read (Amazon DynamoDB Developer Guide, "Change data capture for DynamoDB Streams": records
are kept for 24 hours). One that somebody has disabled by other means has none. Tags stand before it is disabled, and go
after it is enabled, so that whatever is cut short leaves a reader that tells the truth: those of one that reads count
for nothing.

Lambda keeps how far a reader has come while it is disabled. What it missed comes once it reads again.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click
from botocore.exceptions import ClientError

from backfill.terminal.console import name_command
from backfill.terminal.formatting import format_iso, format_time, parse_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from backfill.deployment.deployments import Deployment

Described = dict[str, Any]
"""What Lambda says of an event source mapping (API Reference, EventSourceMappingConfiguration)."""

ON: Final = "on"
PAUSED: Final = "paused"
OFF: Final = "off"
"""Disabled, and not by `dynaurora pause`."""
CHANGING: Final = "changing"
"""On its way to another state, by itself."""
MISSING: Final = "missing"
KEPT: Final = timedelta(hours=24)
"""How long a stream keeps its records (Amazon DynamoDB Developer Guide, "Change data capture for DynamoDB Streams")."""
PAUSED_AT: Final = "dynaurora-paused-at"
RESUME_BY: Final = "dynaurora-resume-by"
TAGS: Final = (PAUSED_AT, RESUME_BY)
STATES: Final = {"Enabled": ON, "Disabled": OFF}
"""By those of Lambda; any other leads to one of these (Lambda API Reference, EventSourceMappingConfiguration)."""
PATIENCE_SECONDS: Final = 300.0
"""How long a reader is waited for: Lambda takes up to minutes."""
LOOK_SECONDS: Final = 1.0
ASKED_ONE_BY_ONE: Final = 5


@dataclass(frozen=True, slots=True)
class StreamReader:
    """A reader as it is now."""

    state: str
    arn: str = ""
    stream_arn: str | None = None
    changed_at: datetime | None = None
    """When its state changed, or anything else of it."""
    paused_at: datetime | None = None
    resume_by: datetime | None = None
    """Until when it has to read again; of one that reads, None."""

    @property
    def is_stopped(self) -> bool:
        """Whether it reads nothing until somebody has it read again."""
        return self.state in {PAUSED, OFF}

    def seconds_left(self, now: datetime) -> float | None:
        """Return how long what it has not read is kept; below 0 where some of it is gone, None where it reads."""
        return None if self.resume_by is None else (self.resume_by - now).total_seconds()

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """Return it for machines."""
        left = self.seconds_left(now)
        return {
            "reader": self.state,
            "paused_at": format_iso(self.paused_at),
            "resume_by": format_iso(self.resume_by),
            "seconds_left": None if left is None else round(left),
        }


def look_at_reader(functions: Any, uuid: str) -> StreamReader:
    """Return a reader as it is. Raises the SDK's errors."""
    try:
        found = functions.get_event_source_mapping(UUID=uuid)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return StreamReader(MISSING)
    return read_reader(functions, found)


def list_readers(functions: Any, uuids: Collection[str]) -> dict[str, Described]:
    """Return what Lambda says of readers, by their ids; many of them by listing all there are.

    Lambda answers 15 questions a second about single ones (Lambda Developer Guide, "Lambda quotas").
    """
    if len(uuids) > ASKED_ONE_BY_ONE:
        pages = functions.get_paginator("list_event_source_mappings").paginate()
        return {found["UUID"]: found for page in pages for found in page["EventSourceMappings"]}
    known: dict[str, Described] = {}
    for uuid in uuids:
        with suppress(functions.exceptions.ResourceNotFoundException):
            known[uuid] = functions.get_event_source_mapping(UUID=uuid)
    return known


def read_reader(functions: Any, found: Described) -> StreamReader:
    """Return the reader that Lambda says something of; its tags are asked for where they count."""
    state, changed_at = STATES.get(found["State"], CHANGING), found["LastModified"]
    arn, stream_arn = found.get("EventSourceMappingArn", ""), found.get("EventSourceArn")
    if state != OFF:
        return StreamReader(state, arn, stream_arn, changed_at)
    tags = functions.list_tags(Resource=arn)["Tags"]
    if PAUSED_AT not in tags:
        return StreamReader(OFF, arn, stream_arn, changed_at, resume_by=changed_at + KEPT)
    paused_at, resume_by = parse_iso(tags[PAUSED_AT]), parse_iso(tags.get(RESUME_BY))
    return StreamReader(PAUSED, arn, stream_arn, changed_at, paused_at, resume_by or (paused_at or changed_at) + KEPT)


def describe_stop(reader: StreamReader, now: datetime) -> str:
    """Say of a reader that does not read since when, and what becomes of the changes: "is paused since …"."""
    how = "paused" if reader.state == PAUSED else "switched off, not by `dynaurora pause`,"
    stopped = f"is {how} since {format_time(reader.paused_at or reader.changed_at)}"
    if (reader.seconds_left(now) or 0.0) < 0:
        return f"{stopped}; since {format_time(reader.resume_by)} the stream loses changes"
    return f"{stopped}; the stream keeps what changes until {format_time(reader.resume_by)}"


def pause_reader(functions: Any, deployment: Deployment, behind: float) -> StreamReader:
    """Have a reader read nothing more, and return it once it does not; `behind` is its lag in seconds.

    One that is paused stays as it is. Raises ClickException where there is none, or it takes too long.
    """
    reader = wait_until_settled(functions, deployment)
    if reader.state == PAUSED:
        return reader
    since = datetime.now(UTC) if reader.state == ON else reader.changed_at or datetime.now(UTC)
    resume_by = since - timedelta(seconds=behind) + KEPT
    tags = {PAUSED_AT: format_iso(since) or "", RESUME_BY: format_iso(resume_by) or ""}
    functions.tag_resource(Resource=reader.arn, Tags=tags)
    if reader.state == ON:
        functions.update_event_source_mapping(UUID=deployment.event_source_mapping, Enabled=False)
    return wait_for_state(functions, deployment, lambda found: found.state == PAUSED)


def resume_reader(functions: Any, deployment: Deployment) -> StreamReader:
    """Have a reader read on, and return it as it was before, once it reads.

    One that reads stays as it is. Raises ClickException where there is none, or it takes too long.
    """
    reader = wait_until_settled(functions, deployment)
    if reader.is_stopped:
        functions.update_event_source_mapping(UUID=deployment.event_source_mapping, Enabled=True)
        wait_for_state(functions, deployment, lambda found: found.state == ON)
    if reader.state == PAUSED:
        functions.untag_resource(Resource=reader.arn, TagKeys=[*TAGS])
    return reader


def wait_until_settled(functions: Any, deployment: Deployment) -> StreamReader:
    """Return a reader once it is on its way to no other state: until then Lambda refuses to change it."""
    return wait_for_state(functions, deployment, lambda found: found.state != CHANGING)


def wait_for_state(functions: Any, deployment: Deployment, is_there: Callable[[StreamReader], bool]) -> StreamReader:
    """Return a reader once it is as it is to be. Raises ClickException where there is none, or it takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_there(reader := look_at_reader(functions, deployment.event_source_mapping)):
        if reader.state == MISSING:
            break
        if time.monotonic() > deadline:
            again = name_command("status", deployment.mapping)
            raise click.ClickException(f"It has not taken effect within {PATIENCE_SECONDS:.0f} s. Look again: {again}")
        time.sleep(LOOK_SECONDS)
    if reader.state == MISSING:
        raise click.ClickException(
            f"There is no event source mapping {deployment.event_source_mapping}. "
            f"Deploy it again: {name_command('deploy', deployment.mapping)}"
        )
    return reader
