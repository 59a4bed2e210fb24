"""What escaping 0x1A costs a conversion, beside one that leaves it as it is, as the release before did.

Whole data files are converted, in memory: clicks, and wide items, in whose rows something has to be escaped. CPU time
per item; medians of rounds in which each runs once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

from benchmarks.convert_export import ITEMS, MICROSECONDS, make_work
from benchmarks.items import CLICKS, THINGS, write_export
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import medians
from dynaurora.mappings.compiled import row_text
from dynaurora.mappings.csv_format import ESCAPES, LABEL_START

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping

ROUNDS = 25
MOST = 1.03
FEWER = {code: text for code, text in ESCAPES.items() if chr(code) != LABEL_START}
TRIAL = row_text.TRIAL[: ord(LABEL_START)] + LABEL_START.encode() + row_text.TRIAL[ord(LABEL_START) + 1 :]


def measure_mapping(mapping: Mapping, items: int, rounds: int) -> Result:
    """Measure one mapping's items, after seeing that both make the same rows of them."""
    work = make_work(mapping, write_export(mapping.name, items), items)

    def unescaped() -> tuple[bytes, int]:
        with patch.multiple(row_text, ESCAPES=FEWER, TRIAL=TRIAL):
            return work()

    if work() != unescaped():
        raise AssertionError("the items have 0x1A in them")
    taken = medians({"before": unescaped, "escaped": work}, rounds)
    ratio = taken["escaped"] / taken["before"]
    before, escaped = (taken[name] / items * MICROSECONDS for name in ("before", "escaped"))
    measured = f"{ratio:.3f} × ({before:.2f} µs and {escaped:.2f} µs an item)"
    path = f"convert {mapping.name}, 0x1A escaped"
    return Result(path, "0x1A left as it is", f"≤ {MOST} × its time", measured, ratio <= MOST)


def measure() -> list[Result]:
    """Measure clicks and wide items."""
    items, rounds = (1000, 3) if is_quick() else (ITEMS, ROUNDS)
    return [measure_mapping(CLICKS, items, rounds), measure_mapping(THINGS, items // 4, rounds)]


if __name__ == "__main__":
    print_results(measure)
