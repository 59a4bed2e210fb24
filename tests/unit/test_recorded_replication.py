"""What replications of earlier releases give the platform is read by this one, each release's recording for itself.

A replication works while it is one release older than its platform. The newest recording is of the release that is
being made, and holds what this code emits: a change of that is seen here, before it is recorded anew.
"""

import base64
import json

import pytest

from dynaurora import keys
from dynaurora.dynamodb.packs import decode_pack
from dynaurora.errors import RejectedChange
from dynaurora.failures.failed_records import decode_failed_record, read_change
from dynaurora.mappings.registry import load_document
from dynaurora.mappings.replications import read_replication
from dynaurora.mappings.row_mapper import RowMapper
from tests.infrastructure.deployment import INFRA
from tests.recorded import REPLICATIONS
from tests.recorded.record_replication import record_requests, record_stream
from tests.support.cloudformation import Waiting, serve
from tests.support.fakes import InMemoryObjects
from tests.support.functions import Context
from tests.support.registries import BUCKET, activate
from tests.support.transforming import make_transformer, rows_of

NEWEST = REPLICATIONS[-1]
each_release = pytest.mark.parametrize("recorded", REPLICATIONS, ids=lambda folder: folder.name)


def read(recorded, name):
    return json.loads((recorded / name).read_text("utf-8"))


def load_mapping(recorded):
    """The document, by the digest that all else is stamped with."""
    digest = read(recorded, "requests.json")["resources"]["Custom::PreparedTarget"]["MappingDigest"]
    return load_document("web_analytics", (recorded / "mapping.json").read_text("utf-8"), digest)


def sent(recorded):
    return [base64.b64decode(record["data"]) for record in read(recorded, "firehose_event.json")["records"]]


@each_release
def test_packs_are_taken_apart_and_answered_with_the_same_rows(recorded):
    mapping = load_mapping(recorded)
    assert {decode_pack(data).digest for data in sent(recorded)} == {mapping.digest}
    result = make_transformer(mapping).transform(read(recorded, "firehose_event.json")["records"])
    expected = read(recorded, "firehose_answer.json")["records"]
    assert [rows_of(answer) for answer in result.records] == [rows_of(answer) for answer in expected]


@each_release
def test_refused_changes_are_found_and_refused_again_for_the_same_reason(recorded):
    mapper = RowMapper(load_mapping(recorded))
    lines = (recorded / "refused.jsonl").read_text("utf-8").splitlines()
    for one in map(json.loads, lines):
        assert one["key"].startswith(keys.refused_changes_prefix("web_analytics"))
        record = decode_failed_record(one["body"].encode())
        with pytest.raises(RejectedChange):
            mapper.row(read_change(record.data))
    assert len(lines) == 2


@each_release
def test_its_stack_is_registered(recorded, load, monkeypatch):
    function, store, waiting = load("register_replication"), InMemoryObjects(), Waiting()
    monkeypatch.setattr(function, "S3Objects", lambda: store)
    activate(store, load_mapping(recorded))
    given = read(recorded, "requests.json")["resources"]["Custom::Replication"]
    with serve(waiting):
        function.lambda_handler(waiting.request(ResourceProperties=given), Context())
    assert waiting.answers.pop()["Status"] == "SUCCESS"
    found = read_replication(store, BUCKET, given["Mapping"])
    assert (found.stack, found.event_source_mapping) == (given["Stack"], given["EventSourceMappingId"])


@each_release
def test_a_platform_has_the_outputs_that_it_takes(recorded):
    outputs = (INFRA / "platform.yaml").read_text("utf-8").partition("\nOutputs:\n")[2]
    for name in read(recorded, "parameters.json"):
        assert f"\n  {name}:\n" in f"\n{outputs}"


def test_the_newest_recording_is_what_this_code_emits():
    """Else: is it read by the platform of the release before, too? Then record it, before the release is out, again."""
    mapping = load_mapping(NEWEST)
    files = record_stream(mapping)
    for name in ("firehose_event.json", "firehose_answer.json"):
        assert files[name] == (NEWEST / name).read_bytes()
    refused = [json.loads(line)["key"] for line in files["refused.jsonl"].splitlines()]
    assert refused == [json.loads(line)["key"] for line in (NEWEST / "refused.jsonl").read_text("utf-8").splitlines()]
    assert record_requests(mapping) == read(NEWEST, "requests.json")
