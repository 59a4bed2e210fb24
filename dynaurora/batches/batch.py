"""Batches: what one import applies, named by what it holds.

The import_batch state machine is started with a descriptor:

    {"mapping": "web_analytics", "source": "stream", "run": null, "rows": null,
     "objects": [{"bucket": "…", "key": "…", "etag": "…", "size": 1234}], "rejected": {"payload (json)": 3},
     "digest": "<64 hexadecimal digits>"}

`mapping` may be left out where all objects are under `processed/`: their keys say it. `digest`, which a batch of a
stream and older descriptors do not have, is of the mapping that wrote the rows; `failures`, which may be left out, is
how often rows of it were refused before. An object may have `widths`, the most bytes that any field of each column has
in it, by which it is staged. `rows` is how many rows the batch was written with, where its writer knows;
`size` is in bytes. `rejected`, which may be left out, counts by reason what the
writer refused and kept elsewhere. The same objects with the same contents are the same batch, however often and in
whatever order they are delivered.

`targets`, of a mapping with several or with a condition, says of each what it has of the same records, and how many it
does not take: `{"Users": {"rows": 10, "rejected": {}, "skipped": 3}}`. The lines then have labels.

A batch of an export that is not converted yet has no descriptor: `conversion` says what stands in its place.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from dynaurora.errors import InvalidBatchError
from dynaurora.keys import PROCESSED, LandingKey, is_object_key
from dynaurora.mappings.mapping import NAME
from dynaurora.mappings.registry import DIGEST

IMPORTED = {"dynaurora": "imported"}
"""Tag of an object whose rows are in Aurora; the landing bucket's lifecycle expires no other batch."""
BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
"""As wide as the rules for buckets ever were (Amazon S3 User Guide, "General purpose bucket naming rules")."""
BACKFILL: Final = "backfill"
REPROCESS: Final = "reprocess"
VERIFY: Final = "verify"
REPAIR: Final = "repair"
"""The kinds of runs, each the source of its batches in the ledger. Those of a verification are compared, not merged."""
SOURCES = ("stream", BACKFILL, REPROCESS, "sweep", VERIFY, REPAIR)


@dataclass(frozen=True, slots=True)
class BatchObject:
    """One CSV object of a batch, at the contents its ETag names."""

    bucket: str
    key: str
    etag: str
    size: int
    widths: tuple[int, ...] = ()
    """The most bytes that any field of each column has in it (`dynaurora.mappings.field_widths`); empty if unknown."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as descriptors have it."""
        return {name: value for name, value in asdict(self).items() if value != ()}

    @property
    def uri(self) -> str:
        """Where it is, for messages."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Share:
    """What one target has of what a batch was made of, which is all of these together."""

    rows: int
    rejected: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    """Records that the target does not take, and that leave no tombstone in it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch descriptor."""

    mapping: str
    source: str
    run: str | None
    rows: int | None
    objects: tuple[BatchObject, ...]
    rejected: dict[str, int] = field(default_factory=dict)
    """Records that are not in the batch, for what it was made of has them refused, by reason."""
    digest: str | None = None
    """Of the mapping that wrote all rows; None where lines say it, or the first mapping wrote them."""
    failures: int = 0
    """How often rows of it were refused before, at most: what was refused, and is read and imported again."""
    targets: dict[str, Share] = field(default_factory=dict)
    """By table; empty where all rows are of one target, or nobody has counted them for each."""

    @property
    def id(self) -> str:
        """The ledger's key: a digest of what the batch holds, and of nothing about how it came."""
        digest = hashlib.sha256(self.mapping.encode("utf-8", "surrogatepass"))
        for part in sorted(f"{item.bucket}\0{item.key}\0{item.etag}" for item in self.objects):
            digest.update(b"\0\0" + part.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:40]

    def part_id(self, label: str) -> str:
        """Return the ledger's key of the rows of one label, `<target>.<short digest>`."""
        return hashlib.sha256(f"{self.id}\0{label}".encode()).hexdigest()[:40]

    def share_of(self, target: str) -> Share:
        """Return what a target has of it."""
        return self.targets.get(target) or Share(self.rows or 0, self.rejected)

    @property
    def objects_as_dicts(self) -> list[dict[str, Any]]:
        """The objects as the descriptor has them."""
        return [item.as_dict() for item in self.objects]

    @property
    def rows_rejected(self) -> int:
        """How many records are not in the batch because they were refused."""
        return sum(self.rejected.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the descriptor, as the state machine takes it."""
        document = {**asdict(self), "objects": self.objects_as_dicts}
        if self.digest is None:
            del document["digest"]
        return document

    @classmethod
    def from_event(cls, event: Any) -> Batch:
        """Return the batch that a state machine's input, `{"batch": {…}}`, describes.

        Raises InvalidBatchError, naming the field.
        """
        document = read_field(event, "batch", dict, "input")
        source = read_field(document, "source", str, "batch")
        if source not in SOURCES:
            raise InvalidBatchError(f"batch.source is {source!r}, not one of {', '.join(SOURCES)}.")
        rows = document.get("rows")
        if rows is not None and (type(rows) is not int or rows < 0):
            raise InvalidBatchError("batch.rows is neither a count nor null.")
        failures = document.get("failures", 0)
        if type(failures) is not int or failures < 0:
            raise InvalidBatchError("batch.failures is no count.")
        listed = read_field(document, "objects", list, "batch")
        objects = tuple(_object(item, f"batch.objects[{index}]") for index, item in enumerate(listed))
        batch = cls(
            mapping=_read_mapping(document, objects),
            source=source,
            run=read_run(document, "batch"),
            rows=rows,
            objects=objects,
            rejected=_counts(document.get("rejected") or {}, "batch.rejected"),
            digest=read_digest(document, "batch"),
            failures=failures,
            targets=_shares(document.get("targets") or {}, "batch.targets"),
        )
        if batch.targets and (batch.digest is None or batch.rows != sum(each.rows for each in batch.targets.values())):
            raise InvalidBatchError("batch.targets goes with batch.digest, and its rows are batch.rows together.")
        if not batch.objects:
            raise InvalidBatchError("batch.objects is empty.")
        if len({(item.bucket, item.key) for item in batch.objects}) < len(batch.objects):
            raise InvalidBatchError("batch.objects names an object twice.")
        return batch


def _read_mapping(document: dict[str, Any], objects: tuple[BatchObject, ...]) -> str:
    """Return the mapping that a batch is for; a streamed one's keys say so, and nothing else may say otherwise."""
    keys = [item.key for item in objects if item.key.startswith(f"{PROCESSED}/")]
    landed = {LandingKey.parse(key).mapping for key in keys}
    if document.get("mapping") is None and len(landed) == 1 and len(keys) == len(objects):
        return landed.pop()
    named: str = read_field(document, "mapping", str, "batch")
    if not NAME.fullmatch(named):
        raise InvalidBatchError(f"batch.mapping is {named!r}, which no mapping can be named.")
    if landed - {named}:
        raise InvalidBatchError(f"batch.mapping is {named}, and the key of an object is of {min(landed - {named})}.")
    return named


def _object(item: Any, path: str) -> BatchObject:
    bucket, key = read_field(item, "bucket", str, path), read_field(item, "key", str, path)
    if not BUCKET.fullmatch(bucket):
        raise InvalidBatchError(f"{path}.bucket is no name of a bucket.")
    if not is_object_key(key):
        raise InvalidBatchError(f"{path}.key is no key that an object can have.")
    return BatchObject(
        bucket=bucket,
        key=key,
        etag=read_field(item, "etag", str, path).strip('"'),
        size=read_field(item, "size", int, path),
        widths=_read_widths(item.get("widths") or [], path),
    )


def _read_widths(document: Any, path: str) -> tuple[int, ...]:
    if not isinstance(document, list) or any(type(width) is not int or width < 0 for width in document):
        raise InvalidBatchError(f"{path}.widths is no list of lengths.")
    return tuple(document)


def _shares(document: Any, path: str) -> dict[str, Share]:
    if not isinstance(document, dict):
        raise InvalidBatchError(f"{path} is not of type dict.")
    return {
        table: Share(
            rows=read_field(share, "rows", int, f"{path}.{table}"),
            rejected=_counts(share.get("rejected") or {}, f"{path}.{table}.rejected"),
            skipped=read_field(share, "skipped", int, f"{path}.{table}"),
        )
        for table, share in document.items()
    }


def _counts(document: Any, path: str) -> dict[str, int]:
    if not isinstance(document, dict) or any(type(count) is not int or count < 0 for count in document.values()):
        raise InvalidBatchError(f"{path} does not count by reason.")
    return dict(document)


def read_digest(document: dict[str, Any], path: str) -> str | None:
    """Return the digest of a mapping that a document has, if any. Raises InvalidBatchError where it is none."""
    digest = document.get("digest")
    if digest is not None and not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
        raise InvalidBatchError(f"{path}.digest is neither the digest of a mapping, 64 hexadecimal digits, nor null.")
    return digest


def read_run(document: dict[str, Any], path: str) -> str | None:
    """Return the id of a run that a document has, if any. Raises InvalidBatchError where it is none."""
    run = document.get("run")
    if run is not None and not isinstance(run, str):
        raise InvalidBatchError(f"{path}.run is neither a run id nor null.")
    return run


def read_field(document: Any, name: str, kind: type, path: str) -> Any:
    """Return a field of a document. Raises InvalidBatchError, naming it, where it is missing or of another type."""
    value = document.get(name) if isinstance(document, dict) else None
    if type(value) is not kind or (kind is str and not value):
        raise InvalidBatchError(f"{path}.{name} is missing or not of type {kind.__name__}.")
    return value
