"""How long planning takes for the manifest of a very large export, beside what merely parsing it takes.

    python -m benchmarks.plan_backfill [--files 100000]

The largest entry of the plan counts too: a child of the Distributed Map is given it, of which Step Functions allows
262,144 bytes (AWS Step Functions Developer Guide, "Quotas").
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
from dataclasses import dataclass, field

from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import medians
from dynaurora.errors import ObjectMissingError
from dynaurora.exports.plan_backfill import ExportToPlan, plan_backfill

FILES = 100_000
MOST_TIME = 4
MOST_BYTES = 262_144
BUCKET = "landing"
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/web_analytics"
FOLDER = "exports/run=r1/AWSDynamoDB/01700000000000-abcdef12"
ITEMS_OF_A_FILE = 100


@dataclass
class Objects:
    """The objects that planning reads and writes, in memory: S3's own time is not measured."""

    bodies: dict[str, bytes] = field(default_factory=dict)

    def read(self, bucket: str, key: str) -> bytes:  # noqa: ARG002 (there is one bucket)
        """Return an object's bytes. Raises ObjectMissingError."""
        try:
            return self.bodies[key]
        except KeyError:
            raise ObjectMissingError(f"{key} does not exist.") from None

    def write(self, bucket: str, key: str, body: bytes) -> str:  # noqa: ARG002 (there is one bucket)
        """Put an object and return its ETag."""
        self.bodies[key] = body
        return ""

    def write_manifest(self, name: str, body: bytes) -> None:
        """Put a manifest with its checksum beside it."""
        self.bodies[f"{FOLDER}/{name}.json"] = body
        self.bodies[f"{FOLDER}/{name}.md5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest())


def make_export(files: int, items_of_a_file: int = ITEMS_OF_A_FILE, billed_bytes: int = 10**12) -> Objects:
    """Return the manifests of an export of so many data files, each of so many items."""
    objects = Objects()
    lines = (
        json.dumps(
            {
                "itemCount": items_of_a_file,
                "md5Checksum": "NEUfJ3vQIoi9hYFmUSOhBA==",
                "etag": "c8f0d3d2fcd5a3a8f3f4f8d0b5a0a7f2-1",
                "dataFileS3Key": f"{FOLDER}/data/{number:026}.json.gz",
            }
        )
        for number in range(files)
    )
    objects.write_manifest("manifest-files", ("\n".join(lines) + "\n").encode())
    summary = {
        "version": "2023-08-01",
        "exportArn": f"{TABLE_ARN}/export/01700000000000-abcdef12",
        "tableArn": TABLE_ARN,
        "exportTime": "2023-11-14T22:13:20.000Z",
        "s3Bucket": BUCKET,
        "manifestFilesS3Key": f"{FOLDER}/manifest-files.json",
        "billedSizeBytes": billed_bytes,
        "itemCount": files * items_of_a_file,
        "outputFormat": "DYNAMODB_JSON",
    }
    objects.write_manifest("manifest-summary", json.dumps(summary).encode())
    return objects


def measure(files: int = FILES) -> list[Result]:
    """Plan a manifest of so many files."""
    objects = make_export(files)
    manifest = objects.bodies[f"{FOLDER}/manifest-files.json"]
    export = ExportToPlan(BUCKET, f"{FOLDER}/manifest-summary.json", TABLE_ARN)
    seconds = medians(
        {
            "parse": lambda: [json.loads(line) for line in manifest.splitlines()],
            "plan": lambda: plan_backfill(objects, BUCKET, "clicks", "r1", export),  # type: ignore[arg-type]
        },
        rounds=3 if is_quick() else 7,
    )
    entries = json.loads(objects.bodies["batches/run=clicks-r1/plan.json"])
    largest = max(len(json.dumps(entry)) for entry in entries)
    ratio = seconds["plan"] / seconds["parse"]
    path = f"plan a backfill of {files:,} files"
    taken = f"{ratio:.1f} × ({seconds['plan']:.2f} s)"
    return [
        Result(path, "parsing the manifest, CPU", f"≤ {MOST_TIME} × its time", taken, ratio <= MOST_TIME),
        Result(
            "largest entry of the plan",
            "a state's input",
            f"≤ {MOST_BYTES:,} bytes",
            f"{largest:,} bytes, of {len(entries):,} batches",
            largest <= MOST_BYTES,
        ),
    ]


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=FILES)
    files = parser.parse_args().files
    print_results(lambda: measure(files))


if __name__ == "__main__":
    main()
