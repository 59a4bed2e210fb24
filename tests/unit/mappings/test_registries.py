"""The registries of many mappings in one process: interleaved invocations, and mappings that change meanwhile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.changes import Change
from dynaurora.errors import RegistryUnavailableError, UnknownMappingError
from dynaurora.mappings.registry import TAKE_UP_SECONDS, Registries
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.row_mappers import MAX_ROW_MAPPERS, SharedRowMappers
from tests.support.factories import column, make_mapping
from tests.support.fakes import InMemoryObjects
from tests.support.registries import activate

BUCKET = "landing"
NAMES = "abc"
MANY = [f"table_{number}" for number in range(MAX_ROW_MAPPERS + 2)]
"""More than a process keeps row mappers of."""
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("invoke"), st.sampled_from(NAMES)),
        st.tuples(st.just("change"), st.sampled_from(NAMES)),
        st.tuples(st.just("wait"), st.sampled_from([1, TAKE_UP_SECONDS - 1, TAKE_UP_SECONDS])),
    ),
    max_size=60,
)


class Deployed:
    """Mappings that are changed by a deployment, and what a function may go by of each."""

    def __init__(self, names=NAMES):
        self.store, self.now, self.documents = InMemoryObjects(), 0.0, 0
        self.current, self.outdated = {}, {}
        for name in names:
            self.change(name)

    def change(self, name, other=None):
        """Give a mapping a document of its own, or that of another one."""
        self.documents += 1
        number = self.documents if other is None else int(other.columns[1].name[1:])
        mapping = make_mapping(column(f"c{number}", "INT"), name=name)
        if name in self.current:
            self.outdated.setdefault(name, {})[self.current[name].digest] = self.now
        self.current[name] = mapping
        activate(self.store, mapping, self.documents, BUCKET)

    def allowed(self, name):
        """Return the digests that may still be gone by: the current one, and those that were it a moment ago."""
        outdated = self.outdated.get(name, {})
        recent = {digest for digest, since in outdated.items() if self.now - since < TAKE_UP_SECONDS}
        return {self.current[name].digest} | recent


@given(STEPS)
def test_interleaved_invocations_take_no_mapping_for_another_and_each_change_up_in_time(steps):
    deployed = Deployed()
    registries = Registries(deployed.store, BUCKET, clock=lambda: deployed.now)
    mappers = SharedRowMappers(registries)
    for step, what in steps:
        if step == "change":
            deployed.change(what)
        elif step == "wait":
            deployed.now += what
        else:
            mapping = mappers.of(what).find_current().mapping
            assert mapping.name == what
            assert mapping.digest in deployed.allowed(what)
            assert registries.find(what).find_current() == mapping


@given(
    st.lists(st.tuples(st.sampled_from(["current", "earlier", "change", "as another"]), st.sampled_from(MANY))),
    st.randoms(use_true_random=False),
)
def test_rows_of_interleaved_invocations_are_each_mappings_own_and_so_is_what_no_column_took(steps, drawn):
    """Of more mappings than there is room for, some with one document, and of documents that were the current one."""
    deployed = Deployed(MANY)
    mappers = SharedRowMappers(Registries(deployed.store, BUCKET, clock=lambda: deployed.now))
    documents = {name: [mapping] for name, mapping in deployed.current.items()}
    for step, name in steps:
        deployed.now += TAKE_UP_SECONDS
        if step in {"change", "as another"}:
            deployed.change(name, None if step == "change" else deployed.current[drawn.choice(MANY)])
            documents[name].append(deployed.current[name])
            continue
        mapping = deployed.current[name] if step == "current" else drawn.choice(documents[name])
        found = mappers.of(name)
        mapper = found.find_current() if step == "current" else found.find(mapping.digest)
        change = make_change(deployed.documents)
        assert mapper.mapping.name == name
        assert mapper.row(change) == RowMapper(mapping).row(change)
        assert found.take_unmapped().total == deployed.documents, "all but the one that the mapping's column takes"


def make_change(documents):
    """Return the change of an item that has an attribute for each document's column, and one that none takes."""
    names = [*(f"c{number}" for number in range(1, documents + 1)), "others"]
    item = {"id": {"S": "a"}} | {name: {"N": str(number)} for number, name in enumerate(names)}
    return Change(1, 0, {"id": item["id"]}, item)


def test_a_mapping_that_is_deployed_later_is_found_when_it_is_there():
    store = InMemoryObjects()
    registries = Registries(store, BUCKET)
    with pytest.raises(RegistryUnavailableError):
        registries.find("a").find_current()
    mapping = make_mapping(name="a")
    activate(store, mapping, 1, BUCKET)
    assert registries.find("a").find_current().digest == mapping.digest


def test_a_renewed_registry_has_no_copy():
    deployed = Deployed()
    registries = Registries(deployed.store, BUCKET)
    registries.find("a").find_current()
    deployed.change("a")
    assert registries.renew("a").find_current().digest == deployed.current["a"].digest
    assert registries.find("a").find_current().digest != deployed.current["a"].digest


@pytest.mark.parametrize("name", ["", "../a", "A", "a/b", "a" * 64])
def test_what_can_be_no_mapping_has_no_registry(name):
    with pytest.raises(UnknownMappingError, match="No mapping can be named"):
        Registries(InMemoryObjects(), BUCKET).find(name)
