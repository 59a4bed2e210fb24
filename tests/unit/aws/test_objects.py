"""S3 as the core sees it: large objects piece by piece, and its errors as ours."""

import io

import pytest
from botocore.response import StreamingBody

from dynaurora.aws.objects import PART_BYTES, S3Objects, aborting, read_or_none
from dynaurora.errors import AccessDeniedError, ObjectMissingError, ThrottledError

PLACE = {"Bucket": "landing", "Key": "batch.csv"}


@pytest.fixture
def s3(stub):
    return stub("s3")


@pytest.fixture
def upload():
    return S3Objects().upload(PLACE["Bucket"], PLACE["Key"])


def test_a_small_object_is_put_in_one_call(s3, upload):
    s3.add_response("put_object", {"ETag": '"e1"'}, {**PLACE, "Body": b"abcd"})
    upload.write(b"ab")
    upload.write(b"cd")
    assert (upload.complete(), upload.size) == ("e1", 4)


def test_a_page_is_put_as_one(s3):
    page = {**PLACE, "Key": "reports/run=m-r/report.html", "Body": b"<p>", "ContentType": "text/html; charset=utf-8"}
    s3.add_response("put_object", {"ETag": '"e2"'}, page)
    assert S3Objects().write(page["Bucket"], page["Key"], page["Body"]) == "e2"


def test_an_object_without_bytes_is_an_object(s3, upload):
    s3.add_response("put_object", {"ETag": '"e0"'}, {**PLACE, "Body": b""})
    assert (upload.complete(), upload.size) == ("e0", 0)


class StreamOf:
    """Equal to a stream of these bytes that is about to be read."""

    def __init__(self, body):
        self.body = body

    def __eq__(self, other):
        return other.tell() == 0 and other.getvalue() == self.body

    __hash__ = None


def expect_part(s3, number, body):
    part = {**PLACE, "UploadId": "u1", "PartNumber": number, "Body": StreamOf(body)}
    s3.add_response("upload_part", {"ETag": f'"p{number}"'}, part)


@pytest.mark.parametrize("rest", [b"", b"x"], ids=["whole parts", "a rest"])
def test_a_large_object_is_put_in_parts(s3, upload, rest):
    piece = b"x" * (PART_BYTES // 2)
    s3.add_response("create_multipart_upload", {"UploadId": "u1"}, PLACE)
    expect_part(s3, 1, piece * 2)
    expect_part(s3, 2, piece * 2)
    if rest:
        expect_part(s3, 3, rest)
    parts = [{"PartNumber": number, "ETag": f'"p{number}"'} for number in range(1, 4 if rest else 3)]
    completed = {**PLACE, "UploadId": "u1", "MultipartUpload": {"Parts": parts}}
    s3.add_response("complete_multipart_upload", {"ETag": '"whole-2"'}, completed)
    for _ in range(4):
        upload.write(piece)
    upload.write(rest)
    assert (upload.complete(), upload.size) == ("whole-2", 4 * len(piece) + len(rest))


def test_an_upload_that_fails_is_aborted(s3, upload):
    s3.add_response("create_multipart_upload", {"UploadId": "u1"}, PLACE)
    expect_part(s3, 1, b"x" * PART_BYTES)
    s3.add_response("abort_multipart_upload", {}, {**PLACE, "UploadId": "u1"})
    with pytest.raises(ZeroDivisionError):
        break_off(upload, b"x" * PART_BYTES)


def break_off(upload, data):
    """Write to an upload, and fail before it is complete."""
    with aborting(upload):
        upload.write(data)
        1 / 0  # noqa: B018


def test_an_upload_that_is_complete_is_not_aborted_for_what_fails_afterwards(s3, upload):
    s3.add_response("create_multipart_upload", {"UploadId": "u1"}, PLACE)
    expect_part(s3, 1, b"x" * PART_BYTES)
    s3.add_response("complete_multipart_upload", {"ETag": '"whole-1"'})
    upload.write(b"x" * PART_BYTES)
    assert upload.complete() == "whole-1"
    with pytest.raises(ZeroDivisionError):
        break_off(upload, b"")


def test_an_upload_that_fails_before_its_first_part_leaves_nothing_to_abort(s3, upload):
    with pytest.raises(ZeroDivisionError):
        break_off(upload, b"x")


def body_of(data, said=None):
    """Return an answer's body of which the server said that it would be so long."""
    return StreamingBody(io.BytesIO(data), len(data) if said is None else said)


def test_an_object_is_read_as_it_comes(s3):
    s3.add_response("get_object", {"Body": body_of(b"abcdef"), "ETag": '"e1"'}, PLACE)
    etag, stream = S3Objects().fetch(**place_of())
    assert etag == "e1"
    assert (stream.read(2), stream.read(3), stream.read(), stream.read()) == (b"ab", b"cde", b"f", b"")


def place_of():
    return {"bucket": PLACE["Bucket"], "key": PLACE["Key"]}


def test_a_download_that_breaks_off_is_retried_by_name(s3):
    s3.add_response("get_object", {"Body": body_of(b"abc", said=10), "ETag": '"e1"'}, PLACE)
    stream = S3Objects().open(**place_of())
    with pytest.raises(ThrottledError, match=r"s3://landing/batch\.csv"):
        stream.read()


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("NoSuchKey", 404, ObjectMissingError),
        ("NoSuchBucket", 404, ObjectMissingError),
        ("AccessDenied", 403, AccessDeniedError),
        ("SlowDown", 503, ThrottledError),
        ("InternalError", 500, ThrottledError),
    ],
)
def test_an_error_names_its_object(s3, code, status, error):
    s3.add_client_error("get_object", code, http_status_code=status)
    with pytest.raises(error, match=r"s3://landing/batch\.csv"):
        S3Objects().open(**place_of())


def test_an_object_that_is_not_there_is_none_and_one_that_may_not_be_read_is_an_error(s3):
    s3.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    s3.add_client_error("get_object", "AccessDenied", http_status_code=403)
    assert read_or_none(S3Objects(), **place_of()) is None
    with pytest.raises(AccessDeniedError):
        read_or_none(S3Objects(), **place_of())


def test_listing_reads_every_page(s3):
    for page, key in enumerate(("a", "b")):
        entry = {"Key": key, "ETag": f'"e{key}"', "Size": page, "LastModified": "2026-11-23T08:15:00Z"}
        more = {"IsTruncated": page == 0, **({"NextContinuationToken": "more"} if page == 0 else {})}
        asked = {"Bucket": "landing", "Prefix": "x/", **({"ContinuationToken": "more"} if page else {})}
        s3.add_response("list_objects_v2", {"Contents": [entry], **more}, asked)
    assert [(listed.key, listed.etag, listed.size) for listed in S3Objects().list("landing", "x/")] == [
        ("a", "ea", 0),
        ("b", "eb", 1),
    ]


def test_listing_may_begin_after_a_key(s3):
    asked = {"Bucket": "landing", "Prefix": "x/", "StartAfter": "x/2026"}
    s3.add_response("list_objects_v2", {"IsTruncated": False}, asked)
    assert list(S3Objects().list("landing", "x/", after="x/2026")) == []


def test_tags_are_read_by_name(s3):
    s3.add_response("get_object_tagging", {"TagSet": [{"Key": "dynaurora", "Value": "imported"}]})
    s3.add_client_error("get_object_tagging", "NoSuchKey", http_status_code=404)
    assert S3Objects().read_tags("landing", "x") == {"dynaurora": "imported"}
    with pytest.raises(ObjectMissingError):
        S3Objects().read_tags("landing", "x")


def test_listing_nothing_is_nothing(s3):
    s3.add_response("list_objects_v2", {"IsTruncated": False}, {"Bucket": "landing", "Prefix": "x/"})
    assert list(S3Objects().list("landing", "x/")) == []


def expect_versions(s3, **listed):
    s3.add_response("list_object_versions", listed, {"Bucket": "b", "Prefix": "k"})


def test_an_object_is_erased_with_all_its_versions_and_no_other_one(s3):
    expect_versions(
        s3,
        Versions=[{"Key": "k", "VersionId": "1"}, {"Key": "k2", "VersionId": "7"}],
        DeleteMarkers=[{"Key": "k", "VersionId": "2"}],
    )
    erased = {"Objects": [{"Key": "k", "VersionId": "1"}, {"Key": "k", "VersionId": "2"}], "Quiet": True}
    s3.add_response("delete_objects", {}, {"Bucket": "b", "Delete": erased})
    S3Objects().erase("b", "k")


def test_an_object_that_is_not_there_is_erased(s3):
    expect_versions(s3)
    S3Objects().erase("b", "k")


def test_a_version_that_stays_is_told(s3):
    expect_versions(s3, Versions=[{"Key": "k", "VersionId": "1"}])
    refused = {"Errors": [{"Key": "k", "VersionId": "1", "Code": "AccessDenied"}]}
    erased = {"Objects": [{"Key": "k", "VersionId": "1"}], "Quiet": True}
    s3.add_response("delete_objects", refused, {"Bucket": "b", "Delete": erased})
    with pytest.raises(AccessDeniedError, match="s3://b/k stays: AccessDenied"):
        S3Objects().erase("b", "k")


@pytest.mark.parametrize(("code", "status"), [("PreconditionFailed", 412), (None, 200)], ids=["taken", "free"])
def test_an_object_is_created_where_there_is_none(s3, code, status):
    expected = {**PLACE, "Body": b"a", "IfNoneMatch": "*"}
    if code:
        s3.add_client_error("put_object", code, http_status_code=status, expected_params=expected)
    else:
        s3.add_response("put_object", {"ETag": '"e1"'}, expected)
    assert S3Objects().create(PLACE["Bucket"], PLACE["Key"], b"a") is (code is None)


def test_an_object_that_another_is_creating_is_tried_again_later(s3):
    s3.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    with pytest.raises(ThrottledError, match="another is being put there"):
        S3Objects().create(PLACE["Bucket"], PLACE["Key"], b"a")


def test_an_object_is_put_and_tagged_at_once(s3):
    tagged = {**PLACE, "Body": b"", "Tagging": "dynaurora=settled+%26+done"}
    s3.add_response("put_object", {"ETag": '"e0"'}, tagged)
    assert S3Objects().write_tagged(PLACE["Bucket"], PLACE["Key"], b"", {"dynaurora": "settled & done"}) == "e0"
