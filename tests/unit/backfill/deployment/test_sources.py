"""A table is adopted only where its changes can be read, and its keys are the mapping's."""

import pytest
from botocore.exceptions import ClientError

from backfill.deployment.sources import look_at_source
from backfill.terminal.console import WrongUseError
from tests.support.factories import make_mapping

MAPPING = make_mapping(key_type="BIGINT")
STREAM = "arn:aws:dynamodb:us-east-1:123456789012:table/things/stream/1"


class DynamoDB:
    def __init__(self, view=None, keys=(("id", "N"),)):
        roles = zip(("HASH", "RANGE"), keys, strict=False)
        self.table = {
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in keys],
            "KeySchema": [{"AttributeName": name, "KeyType": role} for role, (name, _) in roles],
        }
        if view:
            self.table |= {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}}
            self.table |= {"LatestStreamArn": STREAM}

    def describe_table(self, TableName):  # noqa: ARG002, N803
        if self.table is None:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "DescribeTable")
        return {"Table": self.table}


def test_a_table_that_is_not_there_is_created_with_the_mappings_keys():
    dynamodb = DynamoDB()
    dynamodb.table = None
    source = look_at_source(dynamodb, MAPPING)
    assert (source.exists, source.stream_arn) == (False, "")
    assert source.step == "create the table things (id N), with a stream and point-in-time recovery"


@pytest.mark.parametrize("view", ["NEW_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_a_stream_that_has_items_is_read(view):
    source = look_at_source(DynamoDB(view), MAPPING)
    assert (source.stream_arn, source.step) == (STREAM, "read the stream of the table things")


def test_a_stream_that_is_off_is_switched_on():
    assert look_at_source(DynamoDB(), MAPPING).step == "switch on the stream of the table things, with NEW_IMAGE"


def test_a_stream_of_keys_only_is_refused():
    with pytest.raises(WrongUseError, match="things has the view KEYS_ONLY, which lacks what items have become"):
        look_at_source(DynamoDB("KEYS_ONLY"), MAPPING)


def test_other_keys_than_the_mappings_are_refused():
    with pytest.raises(WrongUseError, match="keys of the table things are id and at, and the mapping things has id"):
        look_at_source(DynamoDB("NEW_IMAGE", (("id", "N"), ("at", "N"))), MAPPING)


def test_keys_of_a_type_that_the_mapping_does_not_take_are_refused():
    with pytest.raises(WrongUseError, match="things does not fit the mapping things: its key id is text, which the"):
        look_at_source(DynamoDB("NEW_IMAGE", (("id", "S"),)), MAPPING)
