"""Record what a replication of this release gives its platform, for platforms of later releases to read.

    python -m tests.recorded.record_replication 0_2     writes tests/recorded/replication_0_2/, before 0.2.0 is tagged

A replication works while it is one release older than its platform (docs/contracts.md), so what is recorded here is
read for as long as the release after it is used:

    mapping.json            the document in the registry, whose digest the rest is stamped with
    firehose_event.json     the packs that forward_changes sent, as Firehose hands them to transform_changes
    firehose_answer.json    what that answers; the rows of it are what Firehose delivers
    refused.jsonl           the objects of changes that it refused, {"key": …, "body": …} each
    requests.json           properties of its custom resources, and the inputs that its schedules start runs with
    parameters.json         its parameters that are outputs of the platform
"""

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

from dynaurora.mappings.mapping import Mapping
from dynaurora.stream.forward_changes import Forwarder
from infra.deployable import TEMPLATES
from local.deployment import FROM_PLATFORM
from tests.recorded import RECORDED, load_recorded
from tests.support.example import load_example
from tests.support.fakes import InMemoryObjects, InMemoryStream
from tests.support.registries import BUCKET
from tests.support.transforming import make_transformer

FORWARD_ARN = "arn:aws:lambda:us-east-1:123456789012:function:dynaurora-web-analytics-forward-changes"
VALUES = {
    "Mapping": "web_analytics",
    "Stack": "dynaurora-web-analytics",
    "TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/web_analytics",
    "EventSourceMappingId": "14e0db71-0000-4d1a-9d0c-000000000000",
    "TtlDeletes": "replicate",
}
"""Of properties of custom resources, for those that are recorded."""


def record_stream(mapping: Mapping) -> dict[str, bytes]:
    """Return what the stream's functions of this release make of the recorded stream records, by the files' names."""
    records = json.loads(load_recorded("unforwarded.json")["payload"])["Records"]
    stream, store = InMemoryStream(), InMemoryObjects()
    Forwarder(mapping.name, mapping.digest, stream, store, BUCKET, False, FORWARD_ARN).forward(records)
    sent = [data for call in stream.calls for data in call]
    event = {
        "records": [
            {"recordId": str(number), "data": base64.b64encode(data).decode()} for number, data in enumerate(sent)
        ]
    }
    answer = make_transformer(mapping, store=store).transform(event["records"]).records
    refused = [
        {"key": key, "body": body.decode()}
        for (_, key), body in sorted(store.objects.items())
        if not key.startswith("mappings/")
    ]
    return {
        "firehose_event.json": write(event),
        "firehose_answer.json": write({"records": answer}),
        "refused.jsonl": b"".join(json.dumps(one).encode() + b"\n" for one in refused),
    }


def record_requests(mapping: Mapping) -> dict[str, Any]:
    """Return what the replication's template of this release asks of the platform's functions and machines."""
    text = (TEMPLATES / "replication.yaml").read_text("utf-8")
    values = VALUES | {"MappingDigest": mapping.digest}
    resources = {
        kind: {name: values[name] for name in re.findall(r"^      (\w+): ", block, re.MULTILINE) if name in values}
        for kind, block in re.findall(r"^    Type: (Custom::\w+)\n(.*?)(?=^  \w|\Z)", text, re.MULTILINE | re.DOTALL)
    }
    inputs = re.findall(r"^ +(\{\"mapping\": \"\$\{Mapping\}\".*\})$", text, re.MULTILINE)
    run, verification = (json.loads(given.replace("${Mapping}", mapping.name)) for given in inputs)
    return {"resources": resources, "run": run, "verification": verification}


def write(document: Any) -> bytes:
    """Return a document as it is recorded."""
    return json.dumps(document, indent=2).encode() + b"\n"


def main(release: str) -> Path:
    """Write the recording of a release, and return its folder. A recording that is there is never written over."""
    folder, mapping = RECORDED / f"replication_{release}", load_example()
    folder.mkdir()
    files = record_stream(mapping) | {
        "mapping.json": mapping.text.encode(),
        "requests.json": write(record_requests(mapping)),
        "parameters.json": write(list(FROM_PLATFORM)),
    }
    for name, body in files.items():
        (folder / name).write_bytes(body)
    return folder


if __name__ == "__main__":
    print(main(sys.argv[1]))  # noqa: T201
