import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.changes import Change
from dynaurora.errors import RejectedChange
from dynaurora.mappings.conditions import Condition, Outcome, Route, compile_outcome, is_of_keys, is_true
from dynaurora.mappings.expressions import compile_tree
from tests.support.several_targets import change, several, target

KEYS = frozenset({"a", "b"})
UNKNOWN = ("x", "y")
MISSING = object()
VALUES = [MISSING, None, "", "k", "K#1", 0, 1, True, False, [], ["k"], {"k": "k"}]
"""What attributes may be; a missing one is null to JMESPath, and so are both in these tests."""

atoms = st.sampled_from(
    [
        *"abxy",
        "`true`",
        "`false`",
        "`null`",
        "'k'",
        "@",
        "x.k",
        "a.k",
        "[a, x]",
        "[0]",
        "*",
        "x[?@ == 'k']",
        "x[*]",
        "a == 'k'",
        "a == b",
        "a != x",
        "x == 'k'",
        "x == y",
        "a < `1`",
        "x > `0`",
        "starts_with(a, 'K')",
        "starts_with(x, 'K')",
        "starts_with(b, a)",
        "contains(x, a)",
        "length(a) > `1`",
        "length(@) > `2`",
        "type(x) == 'null'",
        "not_null(a, x)",
        "a | @",
        "x | k",
        "@.a",
        "@.x",
        "sort_by(x, &k)",
        "map(&k, [a])",
    ]
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({}) == ({})".format, inner, inner),
        st.builds("({}) | @".format, inner),
    ),
    max_leaves=6,
)


def compile_condition(when):
    return compile_tree(jmespath.compile(when).parsed)


def judge(search, item):
    try:
        return is_true(search(item))
    except Exception:  # noqa: BLE001 (an item that is refused is never a row)
        return None


def all_completions(keys):
    for x in VALUES:
        for y in VALUES:
            unknown = {name: value for name, value in zip(UNKNOWN, (x, y), strict=True) if value is not MISSING}
            yield {**keys, **unknown}


@given(conditions, st.sampled_from(VALUES[2:]), st.sampled_from(VALUES[2:]))
def test_what_keys_decide_is_so_of_every_item_that_has_them(when, a, b):
    search, keys = compile_condition(when), {"a": a, "b": b}
    outcome = compile_outcome(jmespath.compile(when).parsed, KEYS)(keys)
    answers = {judge(search, item) for item in all_completions(keys)}
    impossible = {Outcome.TRUE: False, Outcome.FALSE: True}
    if outcome in impossible:
        assert impossible[outcome] not in answers
    elif outcome is Outcome.FAILS:
        assert answers == {None}


@given(conditions.filter(lambda when: not set("xy@*[") & set(when)), st.sampled_from(VALUES[2:]))
def test_what_reads_keys_only_is_always_decided(when, a):
    keys = {"a": a, "b": "k"}
    expected = {True: Outcome.TRUE, False: Outcome.FALSE, None: Outcome.FAILS}[judge(compile_condition(when), keys)]
    assert compile_outcome(jmespath.compile(when).parsed, KEYS)(keys) is expected


@given(conditions)
def test_with_every_attribute_known_it_is_the_expression_itself(when):
    item = {"a": "K#1", "b": "k", "x": "k", "y": 1}
    outcome = compile_outcome(jmespath.compile(when).parsed, frozenset(item))(item)
    expected = {
        True: {Outcome.TRUE, Outcome.UNDECIDED},
        False: {Outcome.FALSE, Outcome.UNDECIDED},
        None: set(Outcome),  # an item by which it fails counts for nothing: what decides it may be beside what fails
    }
    assert outcome in expected[judge(compile_condition(when), item)]


@pytest.mark.parametrize(("a", "outcome"), [("K#1", Outcome.FALSE), (1, Outcome.FALSE), (0, Outcome.UNDECIDED)])
def test_what_is_never_true_is_false_though_it_fails(a, outcome):
    decide = compile_outcome(jmespath.compile("length(@) > `2` && a < `1`").parsed, KEYS)
    assert decide({"a": a, "b": "k"}) is outcome


OPEN = "starts_with(SK, 'ORDER#') && status == 'open'"


@pytest.mark.parametrize(
    ("when", "changed", "route"),
    [
        (OPEN, change(1, "ORDER#1", status="open"), Route.TAKEN),
        (OPEN, change(1, "ORDER#1", status="shut"), Route.LEFT),
        (OPEN, change(1, "ORDER#1", other="x"), Route.LEFT),
        (OPEN, change(1, "ORDER#1"), Route.LEFT),
        (OPEN, change(1, "USER#1", status="open"), Route.EXCLUDED),
        (OPEN, change(1, "USER#1"), Route.EXCLUDED),
        ("status == 'open' && starts_with(SK, 'ORDER#')", change(1, "USER#1"), Route.EXCLUDED),
        ("status == 'open' || starts_with(SK, 'ORDER#')", change(1, "USER#1"), Route.LEFT),
        ("!(status == 'open' || starts_with(SK, 'USER#'))", change(1, "USER#1"), Route.EXCLUDED),
        ("starts_with(status, 'o') && starts_with(SK, 'ORDER#')", change(1, "USER#1", x="y"), Route.EXCLUDED),
        ("starts_with(status, 'o')", change(1, "USER#1"), Route.LEFT),
        ("@.status == 'open'", change(1, "USER#1", status="open"), Route.TAKEN),
        ("!(status || SK.kind)", change(1, "USER#1"), Route.LEFT),
        ("SK.kind", change(1, "USER#1", status="open"), Route.EXCLUDED),
        ("type", change(1, "USER#1", type=0), Route.TAKEN),
        ("abs(SK) > `0`", change(1, "USER#1"), Route.LEFT),
    ],
)
def test_a_change_is_a_row_a_delete_or_nothing(when, changed, route):
    assert Condition(several(target("T", when))).find_route(changed) is route


@pytest.mark.parametrize("when", ["starts_with(status, 'o')", "abs(SK) > `0`"])
def test_a_put_that_cannot_be_judged_is_refused_without_its_values(when):
    with pytest.raises(RejectedChange) as refused:
        Condition(several(target("T", when))).find_route(change(1, "SECRET#1", status=5))
    (reason,) = refused.value.reasons
    assert (reason.rule, reason.path, reason.message) == ("when", when, "has no value for T: JMESPathTypeError")


def test_json_that_the_condition_does_not_read_is_not_read_for_it():
    mapping = several(target("T", "status == 'open'"), target("U", "payload.kind == 'u'"), json_attributes=["payload"])
    one, other = map(Condition, mapping.targets)
    broken = change(1, "A", status="shut", payload="{")
    assert one.find_route(broken) is Route.LEFT
    with pytest.raises(RejectedChange, match="payload"):
        other.find_route(broken)
    assert other.find_route(change(2, "A", payload='{"kind": "u"}')) is Route.TAKEN


def test_a_change_without_its_key_is_left_to_the_target():
    condition = Condition(several(target("T", "starts_with(SK, 'A')")))
    assert condition.find_route(Change(1, 0, {"PK": {"S": "p"}}, None)) is Route.LEFT


@pytest.mark.parametrize(("when", "of_keys"), [("starts_with(SK, PK)", True), (OPEN, False), ("@ == SK", False)])
def test_a_condition_of_keys_alone_is_known(when, of_keys):
    assert is_of_keys(several(target("T", when))) is of_keys
