"""Writers of a load: each a process of its own, which keeps a pace for a while, whatever the others do."""

import http.client
import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY

WRITERS = 3
TOGETHER = 25
"""Changes of one BatchWriteItem, each of another key (API reference)."""
HOT_TOGETHER = 15
"""How many of them are of hot keys."""
DELETED_SHARE = 0.1
"""Of the changes of hot keys."""
PAUSE_SECONDS = 0.002
"""How long a writer that is ahead of its pace waits."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Load:
    """What all writers together do."""

    name: str
    """Prefix of the keys, which all of them write to."""
    payload: Document
    """Of every item, but for its hits."""
    rate: float
    """Changes a second."""
    seconds: float
    hot: int
    cold: int
    """How many keys there are of a kind."""


@dataclass(frozen=True)
class Written:
    """What a writer did, with its times in seconds since the epoch."""

    changes: int
    began_at: float
    ended_at: float
    """When its last change was answered."""

    @property
    def rate(self) -> float:
        """Changes a second."""
        return self.changes / (self.ended_at - self.began_at)


@contextmanager
def writing(endpoint_url: str, region: str, table: str, load: Load) -> Iterator[list[Future[Written]]]:
    """Have processes write; yields what becomes of each."""
    with ProcessPoolExecutor(WRITERS, get_context("spawn")) as processes:
        yield [processes.submit(write, endpoint_url, region, table, load, number) for number in range(WRITERS)]


class Wire:
    """Signed requests to DynamoDB by one connection: the SDK takes as long to write one as the local AWS to read it."""

    def __init__(self, endpoint_url: str, region: str) -> None:
        self._url = endpoint_url
        self._connection = http.client.HTTPConnection(urlsplit(endpoint_url).netloc)
        self._signer = SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY), "dynamodb", region)

    def ask(self, operation: str, request: Document) -> Document:
        """Return what an operation answers; raises RuntimeError where it refuses."""
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        signed = AWSRequest("POST", f"{self._url}/", headers, json.dumps(request).encode())
        self._signer.add_auth(signed)
        self._connection.request("POST", "/", signed.data, dict(signed.headers))
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"DynamoDB answers {response.status}: {answer.decode()}")
        return dict(json.loads(answer))


def write(endpoint_url: str, region: str, table: str, load: Load, number: int) -> Written:
    """Write this writer's share of a load. Raises RuntimeError where a change is refused."""
    wire, draw, changes = Wire(endpoint_url, region), random.Random(number), 0
    wire.ask("DescribeTable", {"TableName": table})  # what the first call takes longer counts for nothing
    began_at = time.time()
    while (elapsed := time.time() - began_at) < load.seconds:
        if changes > elapsed * load.rate / WRITERS:
            time.sleep(PAUSE_SECONDS)
            continue
        requests = list(make_requests(load, draw, hits=number * 10_000_000 + changes))
        answer = wire.ask("BatchWriteItem", {"RequestItems": {table: requests}})
        assert not answer["UnprocessedItems"]
        changes += len(requests)
    return Written(changes, began_at, time.time())


def make_requests(load: Load, draw: random.Random, hits: int) -> Iterator[Document]:
    """Yield the changes of one request; no other request has its `hits`, so that each changes its item."""
    payload = {"S": json.dumps(load.payload | {"Hits": hits})}
    hot, cold = draw.sample(range(load.hot), HOT_TOGETHER), draw.sample(range(load.cold), TOGETHER - HOT_TOGETHER)
    for page in (*(f"{load.name}-hot-{number:03}" for number in hot), *(f"{load.name}-{number:05}" for number in cold)):
        key = {"page_id": {"S": page}, "activity_dt": {"S": "2026-01-01"}}
        if "-hot-" in page and draw.random() < DELETED_SHARE:
            yield {"DeleteRequest": {"Key": key}}
        else:
            yield {"PutRequest": {"Item": key | {"payload": payload}}}
