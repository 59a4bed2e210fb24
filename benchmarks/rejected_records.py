"""How long the reasons of a refused item take: compiled checks beside `jsonschema`, whose reasons they are.

Both judge plain items, and tell the same reasons of each: that is looked at first. CPU time per item; medians of rounds
in which each runs once.
"""

from __future__ import annotations

from benchmarks.items import CLICKS, draw_items
from benchmarks.results import Result, is_quick, print_results
from benchmarks.timing import medians
from dynaurora.dynamodb.attributes import plain_item
from dynaurora.mappings.schema_judge import make_judge, make_reference_judge

ITEMS, MOST_MICROSECONDS = 2000, 15


def measure() -> list[Result]:
    """Measure the reasons of refused clicks."""
    items = draw_items(CLICKS.name, ITEMS, share=1.0)
    plain = [plain_item(item, CLICKS.json_attributes) for item in items]
    judge, reference = make_judge(CLICKS), make_reference_judge(CLICKS)
    if any(not judge(item) or judge(item) != reference(item) for item in plain):
        raise AssertionError("the two do not give the same reasons")
    works = {
        "jsonschema": lambda: [reference(item) for item in plain],
        "compiled": lambda: [judge(item) for item in plain],
    }
    taken = {name: seconds / ITEMS * 1e6 for name, seconds in medians(works, 3 if is_quick() else 11).items()}
    compiled, beaten = taken["compiled"], taken["jsonschema"]
    measured = f"{compiled:.1f} µs, the same reasons ({beaten / compiled:.1f} ×)"
    target = f"≤ {MOST_MICROSECONDS} µs each"
    return [Result("rejected records", f"jsonschema, {beaten:.0f} µs", target, measured, compiled <= MOST_MICROSECONDS)]


if __name__ == "__main__":
    print_results(measure)
