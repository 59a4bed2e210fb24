"""Of tables of every kind, a mapping that was inferred from some items takes these and the others."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from backfill.trials import Trial
from dynaurora.inference.proposals import TableSource, propose
from dynaurora.inference.table_profiles import profile_items
from dynaurora.mappings.compiled.describing import describe_mapping
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.page_sizes import check_page
from tests.support.drawn_tables import MIXED, UNIFORM, DrawnTable

SOURCE = TableSource("things", "pk", "sk")
TABLES = st.builds(
    DrawnTable,
    st.lists(st.sampled_from([*UNIFORM, *MIXED]), min_size=1, max_size=12, unique=True).map(tuple),
    absent=st.sampled_from([0.0, 0.2]),
    nulls=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32),
)


def infer(items):
    profile = profile_items([(items, 1000)], SOURCE.key_attributes)
    return propose(profile, SOURCE, "replicas", "things")


def try_items(proposal, items):
    mapping = build_mapping("things", proposal.document)
    check_page(mapping)
    trial = Trial(mapping)
    for item in items:
        trial.add(item)
    return trial


def family(sql):
    return {sql, sql.partition("(")[0]}


@settings(max_examples=25)
@given(TABLES, st.integers(1, 60))
def test_no_item_that_was_read_is_refused(table, count):
    items = list(table.items(count))
    assert try_items(infer(items), items).as_dict()["reasons"] == []


def test_others_are_hardly_ever_refused_and_uniform_columns_are_typed_as_they_were_drawn():
    numbers = random.Random(7)
    refused = others = right = uniform = 0
    for seed in range(12):
        columns = tuple(numbers.sample([*UNIFORM, *MIXED], 14))
        table = DrawnTable(columns, numbers.choice((0.0, 0.3)), numbers.choice((0.0, 0.1)), seed)
        items = list(table.items(1200))
        proposal = infer(items[:400])
        trial = try_items(proposal, items)
        assert trial.items == 1200
        refused += trial.items - trial.taken
        others += 800
        chosen = {each.path[0].removeprefix("the-"): each.choice.type for each in proposal.columns}
        found = [family(chosen[name]) & UNIFORM[name][1] for name in columns if name in UNIFORM]
        right += sum(map(bool, found))
        uniform += len(found)
    assert refused <= others / 1000
    assert right >= 0.95 * uniform


def test_what_is_inferred_is_mapped_by_compiled_code():
    table = DrawnTable((*UNIFORM, *MIXED), 0.1, 0.1, 1)
    proposal = infer(list(table.items(200)))
    description = describe_mapping(build_mapping("things", proposal.document))
    assert (description.why_plain, description.why_jsonschema) == ("", "")


def test_a_table_of_very_many_attributes_still_fits_a_row():
    items = [
        {"pk": {"S": str(n)}, "sk": {"N": "1"}, **{f"a{i}": {"S": "x" * 90} for i in range(700)}} for n in range(3)
    ]
    proposal = infer(items)
    assert try_items(proposal, items).taken == 3
    assert len(proposal.document["target"]["columns"]) > 150
