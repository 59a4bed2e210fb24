from datetime import timedelta

from dynaurora.runs.phases import LAST_PHASE, PHASES, measure_phases
from tests.support.run_states import MACHINES, OPENED, STARTED, STATES, steps
from tests.unit.runs.test_report_backfill import report_of


def test_every_state_before_the_report_is_in_a_phase():
    assert PHASES.keys() == set().union(*(states_before_the_report(STATES[machine]) for machine in MACHINES))


def states_before_the_report(states):
    """Return the states that work is done in: not those that report it, and not ends without a report."""
    reporting, pending = set(), ["Report run"]
    while pending:
        name = pending.pop()
        reporting.add(name)
        pending += [found for found in successors(states[name]) if found not in reporting]
    return {name for name, state in states.items() if state["Type"] not in ("Succeed", "Fail")} - reporting


def successors(state):
    """Yield where a state leads to."""
    for path in (state, *state.get("Catch", []), *state.get("Choices", [])):
        if "Next" in path:
            yield path["Next"]
    if "Default" in state:
        yield state["Default"]


def test_the_phases_of_a_run_are_in_the_order_in_which_it_comes_to_them():
    taken = steps(
        *("Open run", "Check readiness", "Ready to export?", "Wait for margin", "Check readiness", "Ready to export?"),
        *("Export given?", "Start export", "Describe export", "Export finished?", "Wait for export"),
        *("Describe export", "Export finished?", "Plan backfill", "Anything to import?", "Backfill batches"),
        *("Reconcile run", "Sweep wanted?", "Plan sweep", "Anything to sweep?", "Sweep batches", "Report run"),
    )
    phases = measure_phases(taken, taken[-1].entered_at + timedelta(seconds=4))
    assert list(phases.items()) == [
        ("checking", 50.0),
        ("waiting for margin", 10.0),
        ("exporting", 70.0),
        ("planning", 20.0),
        ("importing", 10.0),
        ("reconciling", 20.0),
        ("sweeping", 30.0),
        (LAST_PHASE, 4.0),
    ]


def test_a_run_without_history_has_no_phases():
    assert measure_phases([], STARTED) == {}
    report = report_of(OPENED)
    assert (report["phases"], report["seconds"]) == ([], 0)
