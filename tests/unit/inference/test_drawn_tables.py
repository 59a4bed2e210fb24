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
from tests.support.drawn_tables import KEYS, MIXED, NAMES, UNIFORM, DrawnTable

SOURCE = TableSource("things", "pk", "sk")
KEY_KINDS = st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=2).map(tuple)
TABLES = st.builds(
    DrawnTable,
    st.lists(st.sampled_from([*UNIFORM, *MIXED]), min_size=1, max_size=12, unique=True).map(tuple),
    absent=st.sampled_from([0.0, 0.2]),
    nulls=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32),
    keys=KEY_KINDS,
    named=st.sampled_from(list(NAMES)),
    types=st.sampled_from(["", "", "prefix", "attribute"]),
    is_nested=st.booleans(),
)


def infer(items, keys=("pk", "sk"), unpack=0):
    profile = profile_items([(items, 1000)], keys, unpack)
    return propose(profile, TableSource("things", *keys), "replicas", "things")


def try_items(document, items):
    mapping = build_mapping("things", document)
    for target in mapping.targets:
        check_page(target)
    trial = Trial(mapping)
    for item in items:
        trial.add(item)
    return trial


def family(sql):
    return {sql, sql.partition("(")[0]}


def find_types(table, proposal):
    """How many uniform columns there are, and those that are not typed as they were drawn, with their types.

    Members of a map hold JSON as the text or binary that it is in: only attributes are unwrapped.
    """
    packed = {"MEDIUMTEXT": "JSON", "MEDIUMBLOB": "JSON"} if table.is_nested else {}
    chosen = {each.path[-1]: each.choice.type for each in proposal.columns if each.column}
    chosen = {name: packed.get(sql, sql) for name, sql in chosen.items()}
    found = {name: chosen.get(table.name(name)) for name in table.columns if name in UNIFORM}
    found = {name: sql for name, sql in found.items() if sql}
    wrong = {name: sql for name, sql in found.items() if not family(sql) & UNIFORM[name][1]}
    return len(found), wrong


@settings(max_examples=40)
@given(TABLES, st.integers(1, 60), st.sampled_from([0, 1, 9]))
def test_no_item_that_was_read_is_refused(table, count, unpack):
    items = list(table.items(count))
    proposal = infer(items, table.key_attributes, unpack)
    documents = [proposal.document, *([proposal.document_of_types] if proposal.types else [])]
    for document in documents:
        trial = try_items(document, items)
        assert trial.as_dict()["reasons"] == []
        assert trial.taken == len(items)


def test_others_are_hardly_ever_refused_and_uniform_columns_are_typed_as_they_were_drawn():
    numbers = random.Random(7)
    refused = others = right = uniform = 0
    for seed in range(14):
        columns = tuple(numbers.sample([*UNIFORM, *MIXED], 14))
        keys = tuple(numbers.choices(list(KEYS), k=numbers.randint(1, 2)))
        is_nested = numbers.random() < 0.3
        table = DrawnTable(
            columns, numbers.choice((0.0, 0.3)), numbers.choice((0.0, 0.1)), seed, keys, is_nested=is_nested
        )
        items = list(table.items(1000))
        proposal = infer(items[:400], table.key_attributes, unpack=2)
        trial = try_items(proposal.document, items[400:])
        refused += trial.items - trial.taken
        others += trial.items
        found, wrong = find_types(table, proposal)
        right += found - len(wrong)
        uniform += found
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
    assert try_items(proposal.document, items).taken == 3
    assert len(proposal.document["target"]["columns"]) > 150
