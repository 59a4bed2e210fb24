"""Converts one batch in a process of its own, as a function does: argument is its order as JSON.

Prints how many rows and bytes it wrote and the most memory that it ever had resident, in MiB.
"""

import json
import sys
from pathlib import Path

from dynaurora.aws.objects import S3Objects
from dynaurora.exports.convert_export import Converter
from dynaurora.exports.plan import PlannedBatch
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.row_mapper import RowMapper


def main() -> None:
    order = json.loads(sys.argv[1])
    mapper = RowMapper(build_mapping("things", order["mapping"]))
    bucket = order["bucket"]
    converter = Converter(mapper, S3Objects(), bucket, bucket, order["run"], 1_700_000_000, "arn:function")
    batch = converter.convert_once(PlannedBatch.from_dict(order["batch"]))
    print(json.dumps({"rows": batch.rows, "bytes": batch.objects[0].size, "peak_mib": read_peak()}))  # noqa: T201


def read_peak() -> float:
    """The highest resident set in MiB of this process only: getrusage has that of the one it was forked from, too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
