"""Keys of the landing bucket: every one is built and parsed here.

    processed/mapping=<m>/                          streamed CSV batches, by Firehose
    transformation_failed_data_backup/mapping=<m>/  records that no mapping accepted, by Firehose; below oversize/,
                                                    those too large for it, by forward_changes
    batches/run=<run>/                              a backfill's plan and its converted CSV
    batches/mapping=<m>/                            load manifests, by import_batch
    failed_batches/mapping=<m>/                     one JSON per batch that Aurora did not take, by record_failed_batch
    aws/lambda/                                     stream records that could not be forwarded, by the event source
                                                    mapping, whose prefix AWS fixes

A key never contains a retry count: the same work writes the same key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dynaurora.errors import InvalidBatchError

PROCESSED = "processed"
FAILED_RECORDS = "transformation_failed_data_backup"
BATCHES = "batches"
FAILED_BATCHES = "failed_batches"
UNFORWARDED = "aws/lambda"
"""Lambda names the objects of an S3 on-failure destination `aws/lambda/<mapping's UUID>/<shard>/…` (AWS Lambda
Developer Guide, "Retain discarded records of DynamoDB"); the prefix cannot be chosen."""

LANDED = re.compile(r"(?P<prefix>[a-z_]+)/mapping=(?P<mapping>[a-z][a-z0-9_]*)/(?P<rest>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LandingKey:
    """A parsed key: `<prefix>/mapping=<mapping>/<rest>`."""

    prefix: str
    mapping: str
    rest: str

    def __str__(self) -> str:
        return f"{self.prefix}/mapping={self.mapping}/{self.rest}"

    @classmethod
    def parse(cls, key: str) -> LandingKey:
        """Return the parts of a key.

        Raises InvalidBatchError where it is not a key of this project.
        """
        match = LANDED.fullmatch(key)
        if not match:
            raise InvalidBatchError(f"The key {key!r} is not one of <prefix>/mapping=<mapping>/….")
        return cls(match["prefix"], match["mapping"], match["rest"])


def processed_prefix(mapping: str) -> str:
    """Return the prefix of a mapping's streamed batches."""
    return f"{PROCESSED}/mapping={mapping}/"


def failed_records_prefix(mapping: str) -> str:
    """Return the prefix of the records that a mapping refused."""
    return f"{FAILED_RECORDS}/mapping={mapping}/"


def oversize_record(mapping: str, sequence_number: str) -> str:
    """Return the key of a change that is too large for Firehose."""
    return f"{failed_records_prefix(mapping)}oversize/{sequence_number}.json"


def manifest(mapping: str, batch_id: str) -> str:
    """Return the key of the load manifest of a batch."""
    return f"{BATCHES}/mapping={mapping}/{batch_id}.manifest"


def plan(run: str) -> str:
    """Return the key of the plan of a run."""
    return f"{BATCHES}/run={run}/plan.json"


def backfill_batch(run: str, number: int) -> str:
    """Return the key of a converted batch."""
    return f"{BATCHES}/run={run}/batch-{number:06}.csv"


def backfill_rejects(mapping: str, run: str, number: int) -> str:
    """Return the key of the records of a planned batch that the mapping refused."""
    return f"{failed_records_prefix(mapping)}backfill/run={run}/batch-{number:06}.json"


def failed_batches_prefix(mapping: str) -> str:
    """Return the prefix of the batches that Aurora did not take."""
    return f"{FAILED_BATCHES}/mapping={mapping}/"


def failed_batch(mapping: str, batch_id: str) -> str:
    """Return the key of the record of a batch that Aurora did not take."""
    return f"{failed_batches_prefix(mapping)}{batch_id}.json"
