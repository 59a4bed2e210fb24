"""Readers of streams: paused and read on, whatever is cut short in between."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from botocore.exceptions import ClientError

from backfill.commands.resume import STARTING, find_lost
from backfill.deployment import stream_readers
from backfill.deployment.losses import name_mending
from backfill.deployment.stream_readers import (
    CHANGING,
    KEPT,
    MISSING,
    OFF,
    ON,
    PAUSED,
    StreamReader,
    look_at_reader,
    pause_reader,
    resume_reader,
)
from tests.support.backfill_factories import DEPLOYMENT

LONG_AGO = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
ARN = "arn:aws:lambda:us-east-1:000000000000:event-source-mapping:14e0db71"


@dataclass
class Lambda:
    """An event source mapping, which is on its way for some looks after each change."""

    state: str = "Enabled"
    looks: int = 2
    tags: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    changed_at: datetime = LONG_AGO
    waiting: int = 0

    def get_event_source_mapping(self, **_: str) -> dict[str, Any]:
        """Answer its state."""
        if not self.state:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetEventSourceMapping")
        self.waiting = max(0, self.waiting - 1)
        passing = {"Enabled": "Enabling", "Disabled": "Disabling"}[self.state]
        state = passing if self.waiting else self.state
        return {"State": state, "EventSourceMappingArn": ARN, "LastModified": self.changed_at}

    def update_event_source_mapping(self, Enabled: bool, **_: str) -> None:  # noqa: N803 (the SDK's name)
        """Enable or disable it."""
        self.calls.append("enable" if Enabled else "disable")
        self.state, self.waiting = "Enabled" if Enabled else "Disabled", self.looks
        self.changed_at = datetime.now(UTC)

    def list_tags(self, Resource: str) -> dict[str, Any]:  # noqa: N803
        """Answer its tags."""
        assert Resource == ARN
        return {"Tags": dict(self.tags)}

    def tag_resource(self, Resource: str, Tags: dict[str, str]) -> None:  # noqa: N803
        """Give it tags."""
        assert Resource == ARN
        self.calls.append("tag")
        self.tags |= Tags

    def untag_resource(self, Resource: str, TagKeys: list[str]) -> None:  # noqa: N803
        """Take tags from it."""
        assert Resource == ARN
        self.calls.append("untag")
        self.tags = {name: value for name, value in self.tags.items() if name not in TagKeys}


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_readers, "LOOK_SECONDS", 0.001)


def look(functions: Any) -> StreamReader:
    return look_at_reader(functions, DEPLOYMENT.event_source_mapping)


def pause(functions: Any, behind: float = 0.0) -> StreamReader:
    return pause_reader(functions, DEPLOYMENT, behind)


def test_a_reader_that_is_paused_is_tagged_before_and_waited_for():
    functions = Lambda()
    reader = pause(functions)
    assert functions.calls == ["tag", "disable"]
    assert (reader.state, functions.waiting) == (PAUSED, 0)
    assert reader.paused_at
    assert reader.resume_by
    assert reader.resume_by - reader.paused_at == KEPT
    assert 0 <= KEPT.total_seconds() - (reader.seconds_left(datetime.now(UTC)) or 0) < 60


def test_a_reader_that_is_behind_has_to_be_resumed_the_sooner():
    reader = pause(Lambda(), behind=7200)
    assert reader.paused_at
    assert reader.resume_by
    assert reader.resume_by - reader.paused_at == timedelta(hours=22)


def test_pausing_again_changes_nothing():
    functions = Lambda()
    first, again = pause(functions), pause(functions)
    assert (again, functions.calls) == (first, ["tag", "disable"])


def test_a_reader_that_somebody_has_disabled_is_off_since_it_changed():
    functions = Lambda(state="Disabled")
    assert look(functions) == StreamReader(OFF, ARN, None, LONG_AGO, resume_by=LONG_AGO + KEPT)
    reader = pause(functions)
    assert (reader.state, reader.paused_at, functions.calls) == (PAUSED, LONG_AGO, ["tag"])


def test_tags_of_a_reader_that_reads_count_for_nothing():
    """As where a pause was killed between its two calls, or somebody has enabled a paused reader by hand."""
    functions = Lambda()
    pause(functions)
    functions.state = "Enabled"
    assert look(functions).state == ON
    assert look(functions).resume_by is None
    functions.tags[stream_readers.PAUSED_AT] = "2026-11-20T08:00:00.000Z"
    assert pause(functions).paused_at != LONG_AGO


def test_a_reader_that_is_resumed_reads_and_has_no_tags():
    functions = Lambda()
    paused = pause(functions)
    assert resume_reader(functions, DEPLOYMENT) == paused  # type: ignore[arg-type]
    assert functions.calls == ["tag", "disable", "enable", "untag"]
    assert (look(functions).state, functions.tags) == (ON, {})
    assert resume_reader(functions, DEPLOYMENT).state == ON  # type: ignore[arg-type]
    assert functions.calls[4:] == []


def test_a_reader_that_is_on_its_way_is_waited_for_before_it_is_changed():
    functions = Lambda(state="Disabled", waiting=3)
    assert look(functions).state == CHANGING
    assert pause(functions).state == PAUSED


def test_one_that_takes_too_long_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream_readers, "PATIENCE_SECONDS", 0.01)
    with pytest.raises(click.ClickException, match=r"not taken effect .* dynaurora status web_analytics"):
        pause(Lambda(looks=10**6))


@pytest.mark.parametrize("act", [pause, lambda functions: resume_reader(functions, DEPLOYMENT)])
def test_one_that_is_not_there_is_told(act: Any):
    functions = Lambda(state="")
    assert look(functions).state == MISSING
    with pytest.raises(click.ClickException, match=r"no event source mapping 14e0db71.*dynaurora deploy web_analytics"):
        act(functions)


def test_what_may_be_gone_is_what_was_written_longer_ago_than_the_stream_keeps():
    reader = StreamReader(PAUSED, paused_at=LONG_AGO, resume_by=LONG_AGO + KEPT)
    assert find_lost(reader, LONG_AGO + KEPT - STARTING) is None
    assert find_lost(reader, LONG_AGO + KEPT + timedelta(hours=1)) == LONG_AGO + timedelta(hours=1) + STARTING
    ignoring = replace(DEPLOYMENT, ignores_expiries=True)
    assert name_mending(ignoring, (10, 20)) == "dynaurora backfill start web_analytics --watch"
    mending = "dynaurora repair web_analytics --from 1970-01-01T00:00:10Z --to 1970-01-01T00:00:20Z"
    assert name_mending(DEPLOYMENT, (10, 20)) == mending
    assert find_lost(replace(reader, resume_by=None), LONG_AGO + 9 * KEPT) is None
