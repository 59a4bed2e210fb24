"""What Firehose is sent: the body that the SDK itself would send."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session

from dynaurora.aws import sdk
from dynaurora.aws.delivery_stream import FirehoseStream
from tests.support.functions import ENVIRONMENT

RECORDS = [b"", b"pack\n", bytes(range(256)) * 40]


class Body:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self, **_: Any) -> list[bytes]:
        return [self.data]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The requests that leave the SDK; each is answered with a code for the last record."""
    for variable in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, ENVIRONMENT[variable])
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    sdk.forget_clients()
    requests: list[Any] = []

    def answer(_session: URLLib3Session, request: Any) -> AWSResponse:
        requests.append(request)
        records = json.loads(request.body)["Records"]
        answers = [{"RecordId": "1"} for _ in records[1:]] + [{"ErrorCode": "ServiceUnavailableException"}]
        body = Body(json.dumps({"FailedPutCount": 1, "RequestResponses": answers}).encode())
        return AWSResponse(request.url, 200, HTTPHeaders(), body)

    with patch.object(URLLib3Session, "send", answer):
        yield requests
    sdk.forget_clients()


def test_a_call_is_what_the_sdk_would_send(sent: list[Any]) -> None:
    name = 'changes "é"'
    codes = [FirehoseStream(name).put(RECORDS) for _ in range(2)]  # what is registered once stays so
    assert codes == [[None, None, "ServiceUnavailableException"]] * 2
    for request in sent:
        document = json.loads(request.body)
        assert document["DeliveryStreamName"] == name
        assert [base64.b64decode(record["Data"], validate=True) for record in document["Records"]] == RECORDS
        assert request.headers["X-Amz-Target"] == b"Firehose_20150804.PutRecordBatch"
        assert len(request.body) == int(request.headers["Content-Length"])


def test_calls_at_once_do_not_mix_their_bodies(sent: list[Any]) -> None:
    sdk.client("firehose")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: FirehoseStream(f"s{number}").put([b"%d" % number]), range(40)))
    found = {
        (document["DeliveryStreamName"], base64.b64decode(document["Records"][0]["Data"]))
        for document in (json.loads(request.body) for request in sent)
    }
    assert found == {(f"s{number}", b"%d" % number) for number in range(40)}
