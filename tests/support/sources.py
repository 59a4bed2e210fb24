"""The source table of a replication, as AWS describes it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from dynaurora.dynamodb.source import SourceState
from tests.support.factories import TABLE_ARN

BUCKET = "landing"
MAPPING_ID = "14e0db71-0000-0000-0000-000000000000"
STREAM_ARN = f"{TABLE_ARN}/stream/2026-11-23T08:00:00.000"
GIVEN = f"{TABLE_ARN}/export/01700000000000-abcdef12"
NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
READY = SourceState(
    table="web_analytics",
    table_arn=TABLE_ARN,
    recovery=True,
    stream_arn=STREAM_ARN,
    stream_view="NEW_AND_OLD_IMAGES",
    stream_enabled_at=datetime(2026, 11, 23, 8, 0, tzinfo=UTC),
    mapping=MAPPING_ID,
    mapping_state="Enabled",
    mapping_stream_arn=STREAM_ARN,
    mapping_changed_at=datetime(2026, 11, 23, 8, 1, tzinfo=UTC),
)


@dataclass
class KnownSource:
    """A Source: the table as it is said to be, and how often it was asked for."""

    state: SourceState
    key: str = "arn:key"
    asked: int = field(default=0)

    def describe(self):
        self.asked += 1
        return self.state

    def find_key(self, bucket):
        return self.key if bucket.startswith(BUCKET) else None
