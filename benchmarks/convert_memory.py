"""How much memory converting takes above the interpreter and its libraries, for data files from 1 MB to 1 GB.

Each file is converted in a process of its own, which says what it had resident before and at most. An upload holds what
`S3Upload` holds, one part. A large file is a small one many times: gzip's members may be strung together.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.items import CLICKS, write_export
from benchmarks.results import Result, is_quick, print_results
from benchmarks.sink import Sink
from dynaurora.exports.convert_export import Converted, Converter
from dynaurora.exports.manifests import DataFile
from dynaurora.exports.rejects import Rejects
from dynaurora.exports.sorted_rows import SortedRows
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS = 13_500
"""Of the file that is repeated: about a million bytes when packed."""
MOST_MIB, MIB = 64, 1 << 20
REPEATED = (1, 10, 100, 1000)


class Repeated(io.RawIOBase):
    """A stream of the same bytes, so many times."""

    def __init__(self, body: bytes, times: int) -> None:
        super().__init__()
        self._left: Iterator[io.BytesIO] = (io.BytesIO(body) for _ in range(times))
        self._current = io.BytesIO()

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what fits and return how much that was."""
        while not (size := self._current.readinto(buffer)):
            following = next(self._left, None)
            if following is None:
                return 0
            self._current = following
        return size


def convert(times: int) -> dict[str, float]:
    """Convert a file, and return its size and what this process had resident, in MiB."""
    body = write_export(CLICKS.name, ITEMS)
    write_export.cache_clear()
    digest = hashlib.md5(usedforsecurity=False)
    for _ in range(times):
        digest.update(body)

    class Store:
        def open(self, bucket: str, key: str) -> Any:  # noqa: ARG002 (there is one)
            return Repeated(body, times)

    mapper = RowMapper(CLICKS)
    converter = Converter(mapper, Store(), "landing", "exports", "r1", 1_700_000_000, "arn")  # type: ignore[arg-type]
    file = DataFile(key="data.json.gz", items=ITEMS * times, md5=base64.b64encode(digest.digest()).decode())
    reset_peak()
    before = read_status("VmRSS")
    rows = SortedRows(Sink(), converter.mapper.mapping)
    converter._convert_file(file, rows, Rejects(Sink(), Sink()), Converted())
    rows.flush()
    return {"mb": len(body) * times / 1e6, "before": before, "peak": read_status("VmHWM")}


def reset_peak() -> None:
    """Forget the most that this process had resident so far: making the file took more."""
    Path("/proc/self/clear_refs").write_text("5")


def read_status(name: str) -> float:
    """Return a figure of this process's status, in MiB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / MIB


def convert_apart(times: int) -> dict[str, float]:
    """Return what `convert` finds in a process of its own."""
    command = [
        sys.executable,
        "-c",
        f"import json; from benchmarks.convert_memory import convert; print(json.dumps(convert({times})))",
    ]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 (fixed arguments)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def measure() -> list[Result]:
    """Measure files of growing sizes."""
    found = [convert_apart(times) for times in (REPEATED[:2] if is_quick() else REPEATED)]
    above = [each["peak"] - each["before"] for each in found]
    sizes = ", ".join(f"{mib:.0f} MiB for {each['mb']:.0f} MB" for mib, each in zip(above, found, strict=True))
    met = max(above) <= MOST_MIB
    return [Result("peak memory of convert", "interpreter and libraries", f"≤ {MOST_MIB} MiB above, flat", sizes, met)]


if __name__ == "__main__":
    print_results(measure)
