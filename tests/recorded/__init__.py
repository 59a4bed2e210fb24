"""What a release left in a bucket or sent on its way, byte for byte, for those that come after it to read.

`release_0_1` was written by the code of release 0.1.0, from five stream records: two puts, one of them of text that
means something to CSV and imitates a label, a delete, and two puts that the mapping refuses.

    changes.jsonl            records of Firehose, one a line: each a single change, without a stamp
    firehose_event.json      the same, as Firehose hands them to transform_changes, and its answer, firehose_answer.json
    processed.csv            what Firehose delivered of it, and the descriptor of its import, batch.json
    processing_failed.jsonl  what Firehose kept: two records that were refused, and three of an invocation that failed
    reprocessed.jsonl        a record that was refused again by a reprocess
    unforwardable.jsonl      a stream record without its image, which forward_changes set aside
    unforwarded.json         what the event source mapping gave up on
    release.tar.gz           what the release was: `dynaurora/`, `lambdas/`, `statemachines/` and the templates, to be
                             deployed by `tests.support.earlier_release`; its libraries are not in it
"""

import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent
RELEASE_0_1 = RECORDED / "release_0_1"
REPLICATIONS = sorted(RECORDED.glob("replication_*"))
"""What replications of releases give their platforms, the newest last; see `tests.recorded.record_replication`."""


def read_recorded(name: str) -> bytes:
    """Return the bytes of an object of release 0.1."""
    return (RELEASE_0_1 / name).read_bytes()


def load_recorded(name: str) -> Any:
    """Return a document of release 0.1."""
    return json.loads(read_recorded(name))
