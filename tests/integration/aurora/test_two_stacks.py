"""Two checkouts on one machine: each has a local AWS of its own, and they run at the same time."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import boto3
import pymysql
import pytest

from local.stack import REGION, Stack, is_healthy

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Stack]]:
    """Two local AWSs, the second started while the first runs."""
    with ExitStack() as running:
        stacks = [running.enter_context(Stack(tmp_path_factory.mktemp("checkout"))) for _ in range(2)]
        yield stacks


def connect(stack: Stack) -> "closing[pymysql.Connection[Any]]":
    administrator = stack.server.users.administrator
    connection = pymysql.connect(
        host=stack.gateway.host,
        port=stack.gateway.port,
        user=administrator.username,
        password=administrator.password,
        database=stack.server.database,
        ssl_ca=str(stack.certificates.ca_file),
        autocommit=True,
    )
    return closing(connection)


def client(stack: Stack, service: Any) -> Any:
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=stack.endpoint_url, region_name=REGION, **credentials)


def test_both_answer_on_ports_of_their_own(stacks: list[Stack]) -> None:
    assert all(is_healthy(stack.endpoint_url) for stack in stacks)
    assert len({stack.endpoint_url for stack in stacks}) == 2
    assert len({stack.gateway.port for stack in stacks}) == 2


def test_a_table_of_one_database_is_not_in_the_other(stacks: list[Stack]) -> None:
    one, other = stacks
    with connect(one) as database, database.cursor() as cursor:
        cursor.execute("CREATE TABLE only_here (id INT PRIMARY KEY)")
        cursor.execute("INSERT INTO only_here VALUES (1)")
        assert cursor.execute("SELECT id FROM only_here") == 1
    with connect(other) as database, database.cursor() as cursor:
        assert cursor.execute("SHOW TABLES LIKE 'only_here'") == 0


def test_an_object_of_one_s3_is_not_in_the_other(stacks: list[Stack]) -> None:
    one, other = (client(stack, "s3") for stack in stacks)
    for s3 in (one, other):
        s3.create_bucket(Bucket="landing")
    one.put_object(Bucket="landing", Key="only-here", Body=b"1")
    assert one.list_objects_v2(Bucket="landing")["KeyCount"] == 1
    assert other.list_objects_v2(Bucket="landing")["KeyCount"] == 0


def test_one_goes_on_when_the_other_stops(stacks: list[Stack]) -> None:
    one, other = stacks
    one.stop()
    assert not is_healthy(one.endpoint_url)
    assert is_healthy(other.endpoint_url)
    with connect(other) as database, database.cursor() as cursor:
        assert cursor.execute("SELECT 1") == 1
