"""Fetching what a `LOAD DATA FROM S3` names: one object, all of a prefix, or those of a manifest, into one file.

One file, because one statement on one file is what keeps a load of many objects a single statement: all or nothing,
one count of rows, `IGNORE n LINES` taken from the first object only, as Aurora does.

Errors are worded as Aurora MySQL words them, as far as known. `S3 API returned error: …` has number 1871 in AWS's
documentation and in Aurora MySQL 2; Aurora MySQL 3, whose roles are used here, is reported to answer the same text
with number 63985. (To drivers that read the number as signed, as PyMySQL does, that is -1551.)
"""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from local.aurora.protocol import ServerError
from local.aurora.statements import LoadStatement, RowEnds, Source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

S3_ERROR: Final = 63985

CONCURRENT_FETCHES: Final = 16
"""How many loads may fetch at once; more wait for one of them."""

_URL = re.compile(r"s3(?:-[a-z0-9-]+)?://(?P<bucket>[^/]+)/(?P<key>.+)", re.DOTALL)
_URL_LIMIT = 1024
"""Characters of a URL in a manifest, by AWS's documentation of LOAD DATA FROM S3."""
_CHUNK_BYTES = 1 << 20
_TAIL_BYTES = 4096
"""How much of an object's end is kept to see how its last row ends."""
_CLIENT_SETTINGS: Final = Config(
    connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 3}, max_pool_connections=CONCURRENT_FETCHES
)
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


class AbandonedError(Exception):
    """Whoever wanted the objects is gone."""


@dataclass(frozen=True)
class ObjectAddress:
    """Where an object is."""

    bucket: str
    key: str
    """The object's key; for a prefix, how the keys start."""

    @classmethod
    def parse(cls, url: str) -> "ObjectAddress":
        """Read `s3://bucket/key` or `s3-region://bucket/key`; the local S3 is one for all regions."""
        match = _URL.fullmatch(url)
        if match is None:
            raise ServerError(S3_ERROR, "HY000", f"S3 API returned error: Invalid S3 URI: {url}")
        return cls(match["bucket"], match["key"])


@dataclass(frozen=True)
class ManifestEntry:
    """One file of a manifest."""

    address: ObjectAddress
    mandatory: bool


class ObjectFetcher:
    """Brings objects from an S3 to disk. One fetcher serves any number of threads."""

    def __init__(self, endpoint_url: str, *, region: str) -> None:
        """Fetch from the S3 at `endpoint_url`; any credentials will do there."""
        self._endpoint_url = endpoint_url
        self._region = region
        self._lock = threading.Lock()
        self._made_client: S3Client | None = None

    def fetch(self, statement: LoadStatement, destination: Path, abandoned: threading.Event) -> None:
        """Write what a statement loads into a new file.

        Raises ServerError with what Aurora would refuse the statement with (no such object, a manifest that is not well
        made…), and AbandonedError when another thread sets `abandoned` to end the work early. The file may be there
        then, incomplete; the caller removes it.
        """
        try:
            entries = self._list_entries(statement)
            with destination.open("xb") as file:
                found = self._concatenate(entries, statement.row_ends, file, abandoned)
        except ClientError as error:
            raise _describe_refusal(error) from error
        except NoCredentialsError as error:
            raise _describe_s3("Missing Credentials: Cannot instantiate S3 Client") from error
        except BotoCoreError as error:
            raise _describe_s3(f"Network Connection. {error}") from error
        if not found:
            raise _describe_s3(f"Not Found: no file was found for {statement.url}")

    @property
    def _client(self) -> "S3Client":
        """The S3 client, made when first used: loading boto3's model of S3 takes a while."""
        with self._lock:
            if self._made_client is None:
                self._made_client = boto3.client(
                    "s3",
                    endpoint_url=self._endpoint_url,
                    region_name=self._region,
                    aws_access_key_id="test",
                    aws_secret_access_key="test",  # noqa: S106
                    config=_CLIENT_SETTINGS,
                )
            return self._made_client

    def _list_entries(self, statement: LoadStatement) -> Sequence[ManifestEntry]:
        """Return what a statement names, in the order to load it in."""
        address = ObjectAddress.parse(statement.url)
        match statement.source:
            case Source.FILE:
                return [ManifestEntry(address, mandatory=True)]
            case Source.PREFIX:
                return [ManifestEntry(found, mandatory=False) for found in self._list_prefix(address)]
            case Source.MANIFEST:
                content = self._client.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
                return parse_manifest(content)

    def _list_prefix(self, prefix: ObjectAddress) -> Iterator[ObjectAddress]:
        """Yield the objects whose keys start with a prefix, in the order of their keys."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key)
        for page in pages:
            for found in page.get("Contents", []):
                yield ObjectAddress(prefix.bucket, found["Key"])

    def _concatenate(
        self, entries: Sequence[ManifestEntry], row_ends: RowEnds, file: BinaryIO, abandoned: threading.Event
    ) -> int:
        """Write objects one behind another, each one's rows complete; return how many there were."""
        found, tail = 0, b""
        for entry in entries:
            try:
                body = self._client.get_object(Bucket=entry.address.bucket, Key=entry.address.key)["Body"]
            except ClientError as error:
                if entry.mandatory or _code(error) not in _MISSING:
                    raise
                continue
            found += 1
            file.write(row_ends.complete(tail))
            tail = b""
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                if abandoned.is_set():
                    raise AbandonedError
                file.write(chunk)
                tail = (tail + chunk)[-_TAIL_BYTES:]
        return found


def parse_manifest(content: bytes) -> Sequence[ManifestEntry]:
    """Read a load manifest: `{"entries": [{"url": "s3://bucket/key", "mandatory": true}, …]}`.

    Raises ServerError when it is not JSON, has a property it may not have, lacks one, or names a file twice.
    """
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise _describe_manifest(f"not valid JSON: {error}") from error
    _require(isinstance(manifest, dict) and manifest.keys() == {"entries"}, "it must have one property, entries")
    entries = manifest["entries"]
    _require(isinstance(entries, list) and len(entries) > 0, "entries must be an array of at least one entry")
    for entry in entries:
        _check_entry(entry)
    urls = [entry["url"] for entry in entries]
    _require(len(set(urls)) == len(urls), "entries must be unique")
    return [ManifestEntry(ObjectAddress.parse(entry["url"]), entry.get("mandatory", False)) for entry in entries]


def _check_entry(entry: object) -> None:
    """Raise ServerError unless a manifest's entry has a url, perhaps mandatory, and nothing else."""
    _require(isinstance(entry, dict), "an entry must be an object")
    fields = cast("dict[str, object]", entry)
    extra = fields.keys() - {"url", "mandatory"}
    _require(not extra, f"additional properties are not allowed: {', '.join(sorted(extra))}")
    url = fields.get("url")
    _require(isinstance(url, str), "an entry must have a url")
    _require(len(cast("str", url)) <= _URL_LIMIT, f"a url may have at most {_URL_LIMIT} characters")
    _require(isinstance(fields.get("mandatory", False), bool), "mandatory must be true or false")


def _require(condition: bool, problem: str) -> None:
    """Raise ServerError with what is wrong with a manifest unless a condition holds."""
    if not condition:
        raise _describe_manifest(problem)


def _describe_manifest(problem: str) -> ServerError:
    """Return the error of a manifest that is not well made."""
    return ServerError(S3_ERROR, "HY000", f"Invalid manifest file: {problem}")


def _describe_refusal(error: ClientError) -> ServerError:
    """Return the error for what S3 answered."""
    return _describe_s3(f"{_code(error)}: {error.response['Error'].get('Message', '')}")


def _describe_s3(problem: str) -> ServerError:
    """Return the error of a failed access to S3."""
    return ServerError(S3_ERROR, "HY000", f"S3 API returned error: {problem}")


def _code(error: ClientError) -> str:
    """Return S3's error code."""
    return error.response["Error"]["Code"]
