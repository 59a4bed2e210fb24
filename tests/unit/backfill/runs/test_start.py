import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands.backfill_start import DEFAULTS, read_options
from backfill.commands.reprocess_start import DEFAULTS as REPROCESS_DEFAULTS
from backfill.runs.start import find_free_name, make_input
from backfill.terminal.console import WrongUseError
from dynaurora.runs.requests import Limits, ReprocessRequest, RunRequest
from tests.support.backfill_factories import RUN, after, make_execution, make_refused

NOTHING = {
    "export_arn": None,
    "export_summary": None,
    "source_table_arn": None,
    "max_concurrency": None,
    "tolerated_failure_percentage": None,
    "sweep": None,
}


def executions(**inputs):
    """Return what describes these executions, by name, of these runs."""
    known = {
        name.replace("_", "-"): make_execution(name, "SUCCEEDED", input={"run": run}, started_at=after(seconds))
        for seconds, (name, run) in enumerate(inputs.items())
    }
    return known.get


def ask(run="a", earlier=None, *, new_export=False, **given):
    return make_input("web_analytics", run, read_options(NOTHING | given, new_export=new_export), DEFAULTS, earlier)


def test_a_new_runs_name_is_free():
    assert find_free_name("m", "a", executions()) == ("m-a", None)


def test_a_repeat_takes_the_next_name():
    name, earlier = find_free_name("m", "a", executions(m_a="a", m_a_2="a"))
    assert name == "m-a-3"
    assert earlier.name == "m_a_2"


def test_a_name_of_another_run_is_passed_over():
    name, earlier = find_free_name("m", "a", executions(m_a="a", m_a_2="a-2"))
    assert name == "m-a-3"
    assert earlier.name == "m_a"


def test_a_new_run_may_have_to_take_a_number():
    assert find_free_name("m", "a-2", executions(m_a="a", m_a_2="a")) == ("m-a-2-2", None)


def test_a_run_is_not_started_for_ever():
    always = make_execution(input={"run": "a"})
    with pytest.raises(WrongUseError, match="999 times"):
        find_free_name("m", "a", lambda _: always)


def test_the_input_is_what_open_run_takes():
    document = ask(sweep=True, max_concurrency=3, tolerated_failure_percentage=2.5)
    request = RunRequest.from_input(document, Limits(2, 5))
    assert (request.run, request.options.sweep, request.options.max_concurrency) == ("a", True, 3)
    assert request.options.tolerated_failure_percentage == 2.5


def test_the_input_of_a_reprocess_is_what_open_run_takes():
    given = {"prefix": "failed_batches/", "include_parked": True}
    document = make_input("web_analytics", "reprocess-a", given, REPROCESS_DEFAULTS, None)
    request = ReprocessRequest.from_input(document, Limits(2, 5), "2026-11-23T08:15:00Z")
    assert (request.run, request.options.prefix, request.options.include_parked) == (
        "reprocess-a",
        "failed_batches/",
        True,
    )


def test_what_is_not_given_has_its_default():
    document = ask()
    assert {name: document[name] for name in DEFAULTS} == DEFAULTS


def test_whole_percentages_are_integers():
    assert repr(ask(tolerated_failure_percentage=10.0)["tolerated_failure_percentage"]) == "10"


def test_a_repeat_is_as_before_but_for_what_is_given():
    earlier = make_execution(input=ask(sweep=True, max_concurrency=3, export_arn="arn:export"))
    document = ask(earlier=earlier, max_concurrency=4)
    assert (document["sweep"], document["max_concurrency"], document["export_arn"]) == (True, 4, "arn:export")
    assert ask(earlier=earlier, sweep=False)["sweep"] is False


def test_a_repeat_may_make_an_export_where_it_was_given_one():
    earlier = make_execution(input=ask(sweep=True, export_arn="arn:export"))
    document = ask(earlier=earlier, new_export=True)
    assert (document["sweep"], document["export_arn"]) == (True, None)


@pytest.mark.parametrize(
    "given",
    [
        {"new_export": True, "export_arn": "arn:export"},
        {"new_export": True, "export_summary": "s3://b"},
        {"export_arn": "arn:export", "export_summary": "s3://b"},
    ],
)
def test_an_export_is_either_given_or_made(given):
    with pytest.raises(WrongUseError, match="Give one of the two"):
        ask(**given)


def test_a_repeat_takes_another_export_instead_of_the_one_before():
    earlier = make_execution(input=ask(export_summary="s3://b/1", source_table_arn="arn:other"))
    names = ("export_arn", "export_summary", "source_table_arn")
    kept, other = ask(earlier=earlier), ask(earlier=earlier, export_arn="arn:export")
    assert [kept[name] for name in names] == [None, "s3://b/1", "arn:other"]
    assert [other[name] for name in names] == ["arn:export", None, None]


@pytest.mark.parametrize("option", ["--tolerated-failure-percentage", "--every"])
@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-1", "much"])
def test_what_is_not_a_number_in_its_range_is_wrong_use(option, value):
    answer = CliRunner().invoke(main, ["backfill", "start", "web_analytics", option, value])
    assert (answer.exit_code, option in answer.stderr) == (2, True)


def test_a_repeat_is_as_the_last_execution_that_was_not_refused():
    done = make_execution(status="ABORTED", input=ask(run=RUN, sweep=True))
    refused = make_refused(input=ask(run=RUN, export_arn="arn:mistaken"))
    known = {execution.name: execution for execution in (done, refused)}
    name, earlier = find_free_name("web_analytics", RUN, known.get)
    assert (name, earlier) == (f"{refused.name[:-1]}3", done)
    document = ask(run=RUN, earlier=earlier)
    assert (document["sweep"], document["export_arn"]) == (True, None)


def test_a_run_that_was_only_ever_refused_is_started_with_the_defaults():
    refused = make_refused(input=ask(export_arn="arn:mistaken"))
    assert ask(earlier=refused)["export_arn"] is None


def test_a_run_that_goes_on_beside_a_refused_execution_is_running():
    going = make_execution(input={"run": RUN})
    known = {execution.name: execution for execution in (going, make_refused())}
    assert find_free_name("web_analytics", RUN, known.get)[1].is_running


def test_two_starts_of_one_run_never_have_the_same_input():
    # Step Functions would answer the second as if it had started the execution.
    assert ask() != ask()
