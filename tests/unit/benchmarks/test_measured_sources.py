"""The figures that costs and capacity rest on are of the code as it is."""

import json
from pathlib import Path

import pytest

from backfill.costs.figures import FILE
from benchmarks import measured_sources
from benchmarks.measured_sources import digest_sources, list_modules

COMMAND = "python -m benchmarks.measure_figures --write && python -m benchmarks.cost_model --write"


def test_the_figures_were_measured_of_this_code():
    measured = json.loads(FILE.read_text("utf-8"))["sources"]
    assert measured == digest_sources(), f"The code that {FILE.name} was measured of has changed. Run: {COMMAND}"


def test_what_a_change_and_an_item_pass_is_measured_and_what_is_called_once_is_not():
    modules = list_modules()
    assert {
        "dynaurora.stream.forward_changes",
        "dynaurora.dynamodb.packs",
        "dynaurora.mappings.compiled.row_writer",
        "dynaurora.batches.merging",
        "dynaurora.exports.gzip_lines",
    } <= modules
    assert not {name for name in modules if name.split(".")[1] in {"target", "runs", "failures", "purging"}}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One step, in a folder of its own."""
    path = tmp_path / "dynaurora" / "stream" / "step.py"
    path.parent.mkdir(parents=True)
    path.write_text("ONE = 1\n")
    monkeypatch.setattr(measured_sources, "ROOT", tmp_path)
    monkeypatch.setattr(measured_sources, "STEPS", ("dynaurora.stream.step",))
    return path


def test_another_line_of_code_is_noticed_and_a_comment_is_not(copied: Path):
    before = digest_sources()
    copied.write_text("# one\n\nONE = 1\n")
    assert digest_sources() == before
    copied.write_text("ONE = 2\n")
    assert digest_sources() != before


def test_what_is_imported_is_noticed_unless_it_is_for_annotations(copied: Path):
    other = copied.with_name("other.py")
    other.write_text("TWO = 2\n")
    copied.write_text("if TYPE_CHECKING:\n    from dynaurora.stream.other import TWO\n")
    assert list_modules() == {"dynaurora.stream.step"}
    copied.write_text("def step():\n    from dynaurora.stream.other import TWO\n")
    assert list_modules() == {"dynaurora.stream.step", "dynaurora.stream.other"}
    before = digest_sources()
    other.write_text("TWO = 3\n")
    assert digest_sources() != before
