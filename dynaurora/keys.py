"""Keys of the landing bucket: every one is built and parsed here.

    processed/mapping=<m>/                          streamed CSV batches, by Firehose
    transformation_failed_data_backup/mapping=<m>/  records that no mapping accepted, by Firehose; below oversize/,
                                                    those too large for it, and below unforwardable/, those that
                                                    are none or cannot be sent, by forward_changes; below refused/,
                                                    single changes that transform_changes refused; below rows/,
                                                    rows that Aurora refuses, by import_batch
    exports/run=<m>-<run>/                          DynamoDB's export of a backfill, in DynamoDB's own layout
    batches/run=<m>-<run>/                          a backfill's plans, its converted CSV, and its sweep's; CSV of
                                                    items that a repair has read by their keys
    reports/run=<m>-<run>/                          what a run, a verification or a repair did: report.json for
                                                    machines, and report.html for people
    batches/mapping=<m>/                            load manifests, by import_batch, and check_target's; lines of
                                                    objects of several kinds, one kind apart from the other; what a
                                                    verification's batches were found to be, and what imports of a
                                                    run were tried again for, by import_batch
    failed_batches/mapping=<m>/                     one JSON per batch that Aurora did not take, by record_failed_batch;
                                                    of one that names no mapping, in mapping=-/
    parked/mapping=<m>/                             what failed too often: as its own prefix had it, taken up on request
    archived/mapping=<m>/                           failures that nothing is to come of: superseded/ by what is newer,
                                                    and discarded/ by people; as their own prefix had them
    notices/mapping=<m>/                            of what people were told, and when
    batches/reprocess/mapping=<m>/                  CSV of records that were mapped again, by convert_failures
    batches/reprocess/run=<m>-<run>/                what a reprocess takes up, and the records it is to put back
    mappings/mapping=<m>/                           the registry: each document of a mapping, a pointer to the
                                                    current one; what is known of its replication, of how
                                                    far its stream was read, lost and filled again
    aws/lambda/<mapping's UUID>/                    stream records that could not be forwarded, by the event source
                                                    mapping, whose prefix AWS fixes

A key never contains a retry count, but for the note of an attempt: the same work writes the same key. And each names
its mapping, <m>, which has no hyphen: many stacks may share one bucket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dynaurora.errors import InvalidBatchError

PROCESSED = "processed"
FAILED_RECORDS = "transformation_failed_data_backup"
BATCHES = "batches"
REPROCESSED_BATCHES = "batches/reprocess"
EXPORTS = "exports"
REPORTS = "reports"
FAILED_BATCHES = "failed_batches"
PARKED = "parked"
ARCHIVED = "archived"
NOTICES = "notices"
MAPPINGS = "mappings"
UNFORWARDED = "aws/lambda"
"""Lambda names the objects of an S3 on-failure destination `aws/lambda/<mapping's UUID>/<shard>/…` (AWS Lambda
Developer Guide, "Retain discarded records of DynamoDB"); the prefix cannot be chosen."""

REPLICATION = "replication.json"

MAX_KEY_BYTES = 1024
"""Of any object's key (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

UNMAPPED_ENDING = ".unmapped.json"
"""Of the keys of what no column took."""
REFUSED_ENDING = ".refused.json"
"""Of the keys of the refused items of batches."""

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


def find_mapping(key: str) -> str | None:
    """Return the mapping that a key of this project is of; None for another key."""
    match = LANDED.fullmatch(key)
    return match and match["mapping"]


def is_object_key(text: str) -> bool:
    """Return whether an object can have this key: some text, whose UTF-8 is not too long."""
    try:
        return 0 < len(text.encode()) <= MAX_KEY_BYTES
    except UnicodeEncodeError:  # a lone surrogate
        return False


def processed_prefix(mapping: str) -> str:
    """Return the prefix of a mapping's streamed batches."""
    return f"{PROCESSED}/mapping={mapping}/"


def failed_records_prefix(mapping: str) -> str:
    """Return the prefix of the records that a mapping refused."""
    return f"{FAILED_RECORDS}/mapping={mapping}/"


def oversize_record(mapping: str, sequence_number: str) -> str:
    """Return the key of a change that is too large for Firehose."""
    return f"{failed_records_prefix(mapping)}oversize/{sequence_number}.json"


def unforwardable_records(mapping: str, name: str) -> str:
    """Return the key of stream records that can never be forwarded, by the name of the first of them."""
    return f"{failed_records_prefix(mapping)}unforwardable/{name}.json"


def refused_changes_prefix(mapping: str) -> str:
    """Return the prefix of single changes that a mapping refused."""
    return f"{failed_records_prefix(mapping)}refused/"


def refused_change(mapping: str, refused_id: str) -> str:
    """Return the key of a single change that a mapping refused."""
    return f"{refused_changes_prefix(mapping)}{refused_id}.json"


def _run(mapping: str, run: str) -> str:
    """Return the folder of a run: its id is one of its mapping's only."""
    return f"run={mapping}-{run}"


def mapping_prefixes(mapping: str) -> tuple[str, ...]:
    """Return the prefixes of all that is a mapping's own."""
    of_mapping = (PROCESSED, FAILED_RECORDS, BATCHES, FAILED_BATCHES, PARKED, ARCHIVED, NOTICES, MAPPINGS)
    of_runs = (EXPORTS, BATCHES, REPORTS)
    return (*(f"{top}/mapping={mapping}/" for top in of_mapping), *(f"{top}/{_run(mapping, '')}" for top in of_runs))


def manifest(mapping: str, batch_id: str) -> str:
    """Return the key of the load manifest of a batch."""
    return f"{BATCHES}/mapping={mapping}/{batch_id}.manifest"


def comparisons_prefix(mapping: str, run: str) -> str:
    """Return the prefix of what comparing the batches of a verification found."""
    return f"{BATCHES}/mapping={mapping}/compared-{run}/"


def comparison(mapping: str, run: str, ledger_id: str) -> str:
    """Return the key of what comparing a part of a batch found."""
    return f"{comparisons_prefix(mapping, run)}{ledger_id}.json"


def judging(mapping: str, run: str) -> str:
    """Return the key of how far the judging of a verification is."""
    return f"{BATCHES}/mapping={mapping}/judged-{run}.json"


def retry_notes_prefix(mapping: str, run: str) -> str:
    """Return the prefix of the notes of what imports by a run were tried again for."""
    return f"{BATCHES}/mapping={mapping}/retried-{run}/"


def retry_note(mapping: str, run: str, error: str, batch_id: str, retries: int) -> str:
    """Return the key of the note of an attempt to import a batch that failed; `retries` is how many were before it."""
    return f"{retry_notes_prefix(mapping, run)}{error}/{batch_id}-{retries}"


def read_retry_note(mapping: str, run: str, key: str) -> tuple[str, str]:
    """Return the error and the batch of such a note."""
    error, _, attempt = key.removeprefix(retry_notes_prefix(mapping, run)).partition("/")
    return error, attempt.rpartition("-")[0]


def separated_lines(mapping: str, batch_id: str, number: int, kind: str) -> str:
    """Return the key of the lines of one kind of a batch's object that has lines of several."""
    return f"{BATCHES}/mapping={mapping}/{batch_id}-{number:03}-{kind}.csv"


def refused_rows(mapping: str, ledger_id: str) -> str:
    """Return the key of the rows of a part of a batch that Aurora refuses."""
    return f"{failed_records_prefix(mapping)}rows/{ledger_id}.json"


def refused_rows_copy(mapping: str, ledger_id: str) -> str:
    """Return the key of what stays of the rows of a part of a batch that Aurora refuses, until the batch expires."""
    return f"{BATCHES}/mapping={mapping}/refused-{ledger_id}.json"


def probe(mapping: str) -> str:
    """Return the key of the line that is loaded to see whether the database can load."""
    return f"{BATCHES}/mapping={mapping}/probe.csv"


def probe_manifest(mapping: str) -> str:
    """Return the key of that line's load manifest."""
    return f"{BATCHES}/mapping={mapping}/probe.manifest"


def export_prefix(mapping: str, run: str) -> str:
    """Return the prefix that DynamoDB is asked to export to, as its API takes it: without a slash at its end."""
    return f"{EXPORTS}/{_run(mapping, run)}"


def export_request(mapping: str, run: str) -> str:
    """Return the key of what a run asked DynamoDB to export."""
    return f"{BATCHES}/{_run(mapping, run)}/export.json"


def plan(mapping: str, run: str) -> str:
    """Return the key of the plan of a run: its batches."""
    return f"{BATCHES}/{_run(mapping, run)}/plan.json"


def planned(mapping: str, run: str) -> str:
    """Return the key of what the plan of a run comes to; it is there once the plan is whole."""
    return f"{BATCHES}/{_run(mapping, run)}/planned.json"


def backfill_batch(mapping: str, run: str, number: int) -> str:
    """Return the key of a converted batch."""
    return f"{BATCHES}/{_run(mapping, run)}/batch-{number:06}.csv"


def backfill_descriptor(mapping: str, run: str, number: int) -> str:
    """Return the key of a converted batch's descriptor; it is there once the batch is whole."""
    return f"{BATCHES}/{_run(mapping, run)}/batch-{number:06}.json"


def backfill_attempts(mapping: str, run: str, number: int) -> str:
    """Return the key of what tells of attempts to convert a batch that ended without a word."""
    return f"{BATCHES}/{_run(mapping, run)}/attempts-{number:06}.json"


def backfill_unmapped(mapping: str, run: str, number: int) -> str:
    """Return the key of what no column took of a converted batch; it is there where there was anything."""
    return f"{BATCHES}/{_run(mapping, run)}/batch-{number:06}{UNMAPPED_ENDING}"


def backfill_refused(mapping: str, run: str, number: int) -> str:
    """Return the key of the keys of a converted batch's refused items; it is there where there were any."""
    return f"{BATCHES}/{_run(mapping, run)}/batch-{number:06}{REFUSED_ENDING}"


def backfill_batches_prefix(mapping: str, run: str) -> str:
    """Return what the keys of a run's converted batches begin with, and of what is kept beside them."""
    return f"{BATCHES}/{_run(mapping, run)}/batch-"


def runs_prefix(mapping: str) -> str:
    """Return what the keys of all that a mapping's runs work with begin with."""
    return f"{BATCHES}/{_run(mapping, '')}"


def sweep_plan(mapping: str, run: str) -> str:
    """Return the key of the plan of a run's sweep: its batches' descriptors."""
    return f"{BATCHES}/{_run(mapping, run)}/sweep.json"


def sweep_batch(mapping: str, run: str, number: int) -> str:
    """Return the key of a batch of tombstones."""
    return f"{BATCHES}/{_run(mapping, run)}/sweep-{number:06}.csv"


def repair_batch(mapping: str, run: str, digest: str) -> str:
    """Return the key of the CSV of items that were read by their keys, named by what is in it."""
    return f"{BATCHES}/{_run(mapping, run)}/repair-{digest}.csv"


def report(mapping: str, run: str) -> str:
    """Return the key of the report of a run."""
    return f"{REPORTS}/{_run(mapping, run)}/report.json"


def report_page(mapping: str, run: str) -> str:
    """Return the key of the page of that report, for people."""
    return f"{REPORTS}/{_run(mapping, run)}/report.html"


def reports_prefix(mapping: str) -> str:
    """Return what the keys of all reports of a mapping's runs begin with, and of what is kept beside them."""
    return f"{REPORTS}/{_run(mapping, '')}"


def is_report(key: str) -> bool:
    """Tell whether a key under `reports_prefix` is that of a report."""
    return key.count("/") == 2 and key.endswith("/report.json")


def run_of_report(mapping: str, key: str) -> str:
    """Return the run whose report has a key under `reports_prefix`."""
    return key.removeprefix(reports_prefix(mapping)).partition("/")[0]


def backfill_rejects(mapping: str, run: str, number: int) -> str:
    """Return the key of the records of a planned batch that the mapping refused."""
    return f"{failed_records_prefix(mapping)}backfill/run={run}/batch-{number:06}.json"


def failed_batches_prefix(mapping: str) -> str:
    """Return the prefix of the batches that Aurora did not take."""
    return f"{FAILED_BATCHES}/mapping={mapping}/"


def failed_batch(mapping: str, batch_id: str) -> str:
    """Return the key of the record of a batch that Aurora did not take."""
    return f"{failed_batches_prefix(mapping)}{batch_id}.json"


def unforwarded_prefix() -> str:
    """Return the prefix of the stream records that event source mappings gave up on.

    Of all of them: where the stream is switched off and on again another one reads it, and what the one before gave up
    on is still this stack's. In a bucket that stacks share, some of it is of other tables.
    """
    return f"{UNFORWARDED}/"


def event_source_mapping(key: str) -> str:
    """Return the id of the event source mapping that gave up on what is under a key."""
    return key.removeprefix(unforwarded_prefix()).partition("/")[0]


def parked_prefix(mapping: str) -> str:
    """Return the prefix of what is kept for a person to decide on."""
    return f"{PARKED}/mapping={mapping}/"


def parked(mapping: str, key: str) -> str:
    """Return where what is under a failed key is parked: the key itself, below the parked prefix."""
    return f"{parked_prefix(mapping)}{key}"


def archived_prefix(mapping: str, why: str = "") -> str:
    """Return the prefix of what is archived, or of what is for one reason, SUPERSEDED or DISCARDED."""
    return f"{ARCHIVED}/mapping={mapping}/" + (f"{why}/" if why else "")


def archived(mapping: str, why: str, key: str, etag: str) -> str:
    """Return where what is under a failed key is archived: the key itself, and the contents that it had."""
    return f"{archived_prefix(mapping, why)}{key}.{etag[:12]}"


def archived_why(key: str) -> str | None:
    """Return why something is archived, SUPERSEDED or DISCARDED; None of what is not."""
    return key.split("/")[2] if key.startswith(f"{ARCHIVED}/") else None


def unarchived(mapping: str, key: str) -> str:
    """Return the failed key that something was archived from."""
    return key.removeprefix(archived_prefix(mapping)).partition("/")[2].rpartition(".")[0]


def reprocessed_batch(mapping: str, digest: str) -> str:
    """Return the key of the CSV of records that were mapped again, named by what it was made of."""
    return f"{REPROCESSED_BATCHES}/mapping={mapping}/{digest}.csv"


def reprocess_attempts(mapping: str, digest: str) -> str:
    """Return the key of what tells of attempts to map records again that ended without a word."""
    return f"{REPROCESSED_BATCHES}/mapping={mapping}/{digest}.attempts.json"


def reprocess_plan(mapping: str, run: str) -> str:
    """Return the key of the list of failures that a run takes up."""
    return f"{REPROCESSED_BATCHES}/{_run(mapping, run)}/failures.json"


def reprocess_runs_prefix(mapping: str) -> str:
    """Return what the keys of all that a mapping's reprocesses work with begin with."""
    return f"{REPROCESSED_BATCHES}/{_run(mapping, '')}"


def reprocessed_descriptor(mapping: str, run: str, number: int) -> str:
    """Return the key of the descriptor of records that a run has mapped again."""
    return f"{REPROCESSED_BATCHES}/{_run(mapping, run)}/batch-{number:06}.json"


def reprocess_refused_prefix(mapping: str, run: str) -> str:
    """Return what the keys of the examples of what a run's entries refused again begin with."""
    return f"{REPROCESSED_BATCHES}/{_run(mapping, run)}/again-"


def reprocess_refused(mapping: str, run: str, number: int) -> str:
    """Return the key of examples of what an entry refused again: keys and reasons; it is there where anything was."""
    return f"{reprocess_refused_prefix(mapping, run)}{number:06}{REFUSED_ENDING}"


def remainder(mapping: str, run: str, number: int, index: int) -> str:
    """Return the key of the records of an object that were refused again, before they take its place."""
    return f"{REPROCESSED_BATCHES}/{_run(mapping, run)}/remainder-{number:06}-{index:03}.json"


def refused_remainder(mapping: str, run: str, number: int, index: int) -> str:
    """Return the key of the single changes of an object's packs that were refused, before each has its own place."""
    return f"{REPROCESSED_BATCHES}/{_run(mapping, run)}/refused-{number:06}-{index:03}.json"


def parked_remainder(mapping: str, run: str, number: int, index: int) -> str:
    """Return the key of the records of an object that were refused too often, before they are parked."""
    return f"{REPROCESSED_BATCHES}/{_run(mapping, run)}/parked-{number:06}-{index:03}.json"


def unforwarded_records_prefix(mapping: str) -> str:
    """Return the prefix of unforwarded stream records that were refused when they were taken up."""
    return f"{failed_records_prefix(mapping)}unforwarded/"


def unforwarded_records(mapping: str, key: str) -> str:
    """Return where the refused ones of a batch of unforwarded stream records go, by the key of that batch."""
    return f"{unforwarded_records_prefix(mapping)}{key.removeprefix(f'{UNFORWARDED}/')}"


def notice(mapping: str, cause: str, interval: int) -> str:
    """Return the key that says that people were told of a cause in an interval, counted from 1970."""
    return f"{NOTICES}/mapping={mapping}/{cause}/{interval}.json"


def mapping_documents(mapping: str) -> str:
    """Return the prefix of a mapping's registry."""
    return f"{MAPPINGS}/mapping={mapping}/"


def mapping_document(mapping: str, digest: str) -> str:
    """Return the key of a document of a mapping in the registry."""
    return f"{mapping_documents(mapping)}{digest}.json"


def mapping_pointer(mapping: str) -> str:
    """Return the key of what says which document of a mapping is the current one."""
    return f"{mapping_documents(mapping)}current.json"


def replication(mapping: str) -> str:
    """Return the key of what is known of the replication of a mapping."""
    return f"{mapping_documents(mapping)}{REPLICATION}"


def reader(mapping: str) -> str:
    """Return the key of what is known of the reading of a mapping's stream."""
    return f"{mapping_documents(mapping)}reader.json"


def forwarded(mapping: str) -> str:
    """Return the key of how far a mapping's stream was forwarded."""
    return f"{mapping_documents(mapping)}forwarded.json"


def imported_until(mapping: str) -> str:
    """Return the key of the time up to which a mapping's streamed batches were seen to be imported, but which."""
    return f"{mapping_documents(mapping)}imported.json"


def filled(mapping: str) -> str:
    """Return the key of the gaps in a mapping's stream that were filled."""
    return f"{mapping_documents(mapping)}filled.json"


def is_replication(key: str) -> bool:
    """Tell whether a key of the registry is that of a replication."""
    return key.endswith(f"/{REPLICATION}")


def unforwarded_of(event_source_mapping: str) -> str:
    """Return the prefix of the stream records that one event source mapping gave up on."""
    return f"{unforwarded_prefix()}{event_source_mapping}/"
