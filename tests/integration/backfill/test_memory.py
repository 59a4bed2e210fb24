"""Converting takes the same memory whatever the size of a data file, measured in a process of its own."""

import base64
import hashlib
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dynaurora import keys
from local.stack import REGION, Stack
from tests.support.factories import column, mapping_document

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration

MIB = 1 << 20
MOST_MIB = 256
MORE_MIB = 16
"""How much more a file ten times as large may take: allocators do not give everything back at once."""
PAYLOAD_BYTES = 300_000
LARGE_ITEMS, SMALL_ITEMS = 1100, 110
PROCESS = Path(__file__).with_name("converting_process.py")
PROJECT = Path(__file__).resolve().parents[3]


def write_file(s3: "S3Client", bucket: str, name: str, items: int) -> dict[str, Any]:
    """Put a data file of large items into a bucket and return it as its manifest would list it.

    It compresses well, and is compressed while it is made: nobody has it in memory whole.
    """
    compressor = zlib.compressobj(level=1, wbits=31)
    payload = "0123456789" * (PAYLOAD_BYTES // 10)
    body = b"".join(
        compressor.compress(
            json.dumps({"Item": {"id": {"S": str(number)}, "payload": {"S": payload}}}).encode() + b"\n"
        )
        for number in range(items)
    )
    body += compressor.flush()
    s3.put_object(Bucket=bucket, Key=name, Body=body)
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return {"key": name, "items": items, "md5": md5}


def convert(stack: Stack, bucket: str, run: str, file: dict[str, Any]) -> dict[str, float]:
    """Convert a file in a process of its own and return what it says of itself."""
    order = {
        "mapping": mapping_document(column("payload", "LONGTEXT")),
        "bucket": bucket,
        "run": run,
        "batch": {"number": 1, "items": file["items"], "files": [file]},
    }
    ended = subprocess.run(
        [sys.executable, str(PROCESS), json.dumps(order)],
        cwd=PROJECT,
        env={
            "AWS_ENDPOINT_URL": stack.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "PYTHONPATH": str(PROJECT),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    result: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return result


def test_a_file_of_any_size_is_converted_in_the_same_memory(stack: Stack, s3: "S3Client", bucket: str) -> None:
    peaks = []
    for run, items in (("small", SMALL_ITEMS), ("large", LARGE_ITEMS)):
        converted = convert(stack, bucket, run, write_file(s3, bucket, run, items))
        assert converted["rows"] == items
        assert converted["bytes"] > items * PAYLOAD_BYTES
        s3.delete_object(Bucket=bucket, Key=keys.backfill_batch("web_analytics", run, 1))
        peaks.append(converted["peak_mib"])
    assert LARGE_ITEMS * PAYLOAD_BYTES > 300 * MIB
    small, large = peaks
    assert large < MOST_MIB
    assert large < small + MORE_MIB
