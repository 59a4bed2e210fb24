"""The benchmarks' harness: what it runs, and that a missed target is a result while a broken benchmark is an error."""

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as harness
from benchmarks.results import Result, to_markdown
from benchmarks.running import find_benchmarks

MET = Result("import", "executemany", "≥ 2 ×", "2.5 ×", met=True)
MISSED = Result("convert", "naive", "≥ 25 ×", "24 ×", met=False)


def run_harness(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    def run(name: str) -> list[Result]:
        if name == "breaking":
            raise RuntimeError("no such table")
        return [MET, MISSED]

    monkeypatch.setattr(harness, "find_benchmarks", lambda: ["breaking", "working"])
    monkeypatch.setattr(harness, "run", run)
    monkeypatch.setattr("sys.argv", ["benchmarks", *arguments])
    return harness.main()


def test_results_are_a_table() -> None:
    assert to_markdown([MET, MISSED]).splitlines()[2:] == [
        "| import | executemany | ≥ 2 × | 2.5 × | met |",
        "| convert | naive | ≥ 25 × | 24 × | missed |",
    ]


def test_modules_that_measure_are_benchmarks() -> None:
    names = find_benchmarks()
    assert "plan_backfill" in names
    assert not {"__main__", "results", "running", "timing"} & set(names)


def test_a_missed_target_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build" / "found.json"
    assert run_harness(monkeypatch, "working", "--json", str(file)) == 0
    assert "| missed |" in capsys.readouterr().out
    found = json.loads(file.read_text("utf-8"))
    assert [(row["path"], row["met"]) for row in found["results"]] == [("import", True), ("convert", False)]
    assert found["machine"]["python"]
    assert found["broken"] == []


def test_a_broken_benchmark_is_a_failure_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    assert run_harness(monkeypatch, "--json", str(file)) == 1
    printed = capsys.readouterr()
    assert "no such table" in printed.err
    assert "| met |" in printed.out
    assert json.loads(file.read_text("utf-8"))["broken"] == ["breaking"]


def test_a_benchmark_that_there_is_not(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_harness(monkeypatch, "walking")
    assert "there is no benchmark walking" in capsys.readouterr().err
