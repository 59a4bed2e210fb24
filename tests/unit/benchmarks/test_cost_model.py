"""docs/cost.md is what the model says, and the model is of this project: its prices, its settings, its figures."""

from pathlib import Path

from backfill.costs.quantities import Assumptions, cost_backfill, cost_changes
from benchmarks.cost_model import DOCS, plot, tables
from benchmarks.documents import read_marked, to_table, write_marked
from dynaurora.runs.costs import PRICES
from infra.monthly_costs import count_platform, count_replication, list_templates, price_platform, price_replication


def test_the_page_has_the_models_tables_and_plot():
    assert read_marked(DOCS / "cost.md") == tables(), "run: python -m benchmarks.cost_model --write"
    assert (DOCS / "cost.svg").read_text("utf-8") == plot(), "run: python -m benchmarks.cost_model --write"


def test_every_price_is_used():
    used = {*cost_changes(100, Assumptions()), *cost_backfill(1e6, Assumptions())}
    assert used | count_platform(list_templates()).keys() | count_replication().keys() == set(PRICES)


def test_the_page_says_of_the_platform_and_of_a_table_what_a_deployment_shows():
    *_, together = read_marked(DOCS / "cost.md")["rest"].splitlines()
    assert together == f"| **together** | **{price_platform(list_templates()):.3f}** | **{price_replication():.3f}** |"


def test_a_table_replaces_what_is_between_its_marks_and_nothing_else(tmp_path: Path):
    path = tmp_path / "page.md"
    path.write_text(
        "before\n<!-- table: one -->\nold\n<!-- end -->\nbetween\n<!-- table: two -->\n<!-- end -->\nafter\n"
    )
    found = {"one": to_table(("a", "b"), [("1", "2")]), "two": "| x |"}
    write_marked(path, found)
    assert read_marked(path) == found
    assert path.read_text() == (
        "before\n<!-- table: one -->\n| a | b |\n| --- | --- |\n| 1 | 2 |\n<!-- end -->\n"
        "between\n<!-- table: two -->\n| x |\n<!-- end -->\nafter\n"
    )
