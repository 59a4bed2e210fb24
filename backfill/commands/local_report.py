"""The report of the demo's backfill, kept as a file: the local AWS that has it stops with the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora import keys

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

ENDINGS: Final = ("html", "json")
"""Of a report's objects, the one for people first."""


def keep_report(s3: S3Client, bucket: str, mapping: str, run: str, directory: Path) -> Path | None:
    """Write the report of a run into a directory, and return where it is; None where there is none.

    A page, where the run wrote one beside the report for machines.
    """
    stem = keys.report(mapping, run).removesuffix(ENDINGS[-1])
    for ending in ENDINGS:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"{stem}{ending}").get("Contents", [])
        if found:
            path = directory / f"{mapping}-{run}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(s3.get_object(Bucket=bucket, Key=found[0]["Key"])["Body"].read())
            return path
    return None
