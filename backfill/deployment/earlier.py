"""A stack of release 0.1, which was one table's whole, on its way to a platform and a replication.

The same stack becomes the platform: network, database and bucket are nested stacks of both, and stay. What read the
table's stream was a nested stack, too, which a platform has not: it is kept, as it is, until the replication's own
reader has read all that it has. A stream takes two (DynamoDB Developer Guide, "Reading and processing a stream").
"""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from backfill.terminal.console import WrongUseError
from dynaurora.errors import UnknownMappingError
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.replications import Replication, read_replication, register_replication

if TYPE_CHECKING:
    from backfill.deployment.stacks import Stack, Stacks
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

READER: Final = "StreamingStack"
"""Logical id, in the root stack of release 0.1, of what reads the table's stream."""
PLATFORMS_ALONE: Final = "RegisterReplicationFunctionArn"
"""An output that a platform has, and a stack of release 0.1 has not."""
EVENT_SOURCE_MAPPING: Final = "ForwardChangesEventSourceMappingId"
KEPT: Final = (
    *("SourceTableKeyArn", "TtlDeletes", "BufferSeconds", "BufferMegabytes", "TransformBufferSeconds"),
    *("StreamParallelization", "ReprocessSchedule", "LogLevel", "LogRetentionDays", "PermissionsBoundaryArn"),
)
"""Parameters of a stack of release 0.1 that are a replication's."""
SECONDS: Final = 60.0
"""For which the functions' package is waited for."""


@dataclass(frozen=True)
class EarlierReader:
    """What reads a table's stream by release 0.1: a nested stack."""

    stack: Stack
    """The nested one."""
    template: str
    given: dict[str, str]
    """Parameters of its own and of its root, as far as that has them still."""

    @property
    def mapping(self) -> str:
        """The name of the mapping that it replicates by."""
        return self.stack.parameters["Mapping"]

    @property
    def bucket(self) -> str:
        """The landing bucket."""
        return self.stack.parameters["LandingBucketName"]

    @property
    def table_arn(self) -> str:
        """The table's ARN."""
        return self.stack.parameters["SourceStreamArn"].partition("/stream/")[0]

    @property
    def event_source_mapping(self) -> str:
        """The id of its event source mapping."""
        return self.stack.outputs[EVENT_SOURCE_MAPPING]

    @property
    def replication_parameters(self) -> dict[str, str]:
        """What the replication that takes its place is given: what it was given itself."""
        optional = {"SourceTableKeyArn", "PermissionsBoundaryArn"}
        there = [name for name in KEPT if name in self.given]
        return {name: self.given[name] for name in there if self.given[name] or name not in optional}

    def describe_resource(self, template_url: str) -> dict[str, Any]:
        """Return the resource of a root template that leaves it as it is; its template is where it was uploaded."""
        return {
            "Type": "AWS::CloudFormation::Stack",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {"TemplateURL": template_url, "Parameters": self.stack.parameters},
        }


def is_earlier(stack: Stack) -> bool:
    """Tell whether a root stack is one of release 0.1, and no platform yet."""
    return EVENT_SOURCE_MAPPING in stack.outputs and PLATFORMS_ALONE not in stack.outputs


def find_reader(stacks: Stacks, root: Stack) -> EarlierReader | None:
    """Return what reads a table's stream by release 0.1 in a root stack; None where nothing does."""
    nested = stacks.find_nested(root.name, READER)
    if nested is None:
        return None
    return EarlierReader(nested, stacks.read_template(nested.id), root.parameters | nested.parameters)


def read_packaged_mapping(functions: Any, reader: EarlierReader) -> Mapping:
    """Return the mapping that a stack of release 0.1 was deployed with, of its functions' package.

    Raises WrongUseError where it is not there.
    """
    function, name = reader.stack.outputs["TransformChangesFunctionName"], reader.mapping
    location = functions.get_function(FunctionName=function)["Code"]["Location"]
    with urllib.request.urlopen(location, timeout=SECONDS) as answer:  # noqa: S310  # Lambda's own answer
        package = io.BytesIO(answer.read())
    try:
        with zipfile.ZipFile(package) as files:
            text = files.read(f"dynaurora/tables/{name}.json").decode()
    except KeyError:
        raise WrongUseError(f"The package of {function} has no mapping {name}: it is not of release 0.1.") from None
    return build_mapping(name, json.loads(text, parse_float=Decimal), f"{name}.json", text=text)


def announce(store: ObjectStore, bucket: str, replication: str, reader: EarlierReader) -> None:
    """Make a replication known before it is there, with the reader that it takes the place of.

    What that reader gave up on is then taken up by reprocesses as before, and stays the replication's.
    """
    found = Replication(
        mapping=reader.mapping,
        stack=replication,
        table_arn=reader.table_arn,
        event_source_mappings=(reader.event_source_mapping,),
        ttl_deletes="ignore" if reader.given.get("TtlDeletes") == "ignore" else "replicate",
    )
    try:
        known = read_replication(store, bucket, reader.mapping)
    except UnknownMappingError:
        known = None
    if known is None or known.stack != replication:
        register_replication(store, bucket, found)
