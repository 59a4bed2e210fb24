"""Load manifests, by the rules of Amazon's documentation. Nothing here needs a server."""

import json

import pytest

from local.aurora.objects import ManifestEntry, ObjectAddress, parse_manifest
from local.aurora.protocol import ServerError


def test_entries_are_optional_unless_told():
    entries = [{"url": "s3://b/x/1.csv"}, {"url": "s3-us-east-1://b/2.csv", "mandatory": True}]
    assert parse_manifest(json.dumps({"entries": entries}).encode()) == [
        ManifestEntry(ObjectAddress("b", "x/1.csv"), mandatory=False),
        ManifestEntry(ObjectAddress("b", "2.csv"), mandatory=True),
    ]


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("{", "not valid JSON"),
        ("[]", "one property, entries"),
        ('{"entries": [{"url": "s3://b/k"}], "version": 1}', "one property, entries"),
        ('{"entries": []}', "at least one entry"),
        ('{"entries": {}}', "must be an array"),
        ('{"entries": ["s3://b/k"]}', "must be an object"),
        ('{"entries": [{"mandatory": true}]}', "must have a url"),
        ('{"entries": [{"url": "s3://b/k", "size": 1}]}', "additional properties are not allowed: size"),
        ('{"entries": [{"url": "s3://b/k", "mandatory": 1}]}', "mandatory must be true or false"),
        ('{"entries": [{"url": "s3://b/k"}, {"url": "s3://b/k", "mandatory": true}]}', "must be unique"),
        ('{"entries": [{"url": "s3://b/%s"}]}' % ("k" * 1024), "at most 1024 characters"),
        ('{"entries": [{"url": "https://b/k"}]}', "Invalid S3 URI"),
        ('{"entries": [{"url": "s3://b/"}]}', "Invalid S3 URI"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(manifest, reason):
    with pytest.raises(ServerError) as refusal:
        parse_manifest(manifest.encode())
    assert refusal.value.number == 63985
    assert reason in refusal.value.message
