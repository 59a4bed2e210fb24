"""A deployed stack for all tests of this folder, begun anew for each of them.

deployed   the `Deployed`: its stream is on and read, but what it carries waits
flowing    the same, with a stream that is delivered at once
run        the id of a new run
"""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from backfill.commands import stop
from backfill.deployment import deployments, stream_readers
from dynaurora.aurora.connection import Credentials, Endpoint
from dynaurora.aws import sdk
from local import deployment
from local.api import Api
from local.deployment import Database
from local.stack import REGION, Stack
from tests.integration.backfill.deployed import EXPORTS_BUCKET, Deployed, make_environment, make_run_id
from tests.support.example import load_example
from tests.support.waiting import wait_until

EMULATOR = {
    "AUTH": "true",  # functions may do what their roles allow, and nothing else
    "DYNAURORA_EXPORT_SECONDS": "0.05",
    "DYNAURORA_WAIT_SCALE": "0.003",  # an export is looked at every 0.2 s
    "SFN_WAIT_SCALE": "0.05",  # retries come soon
}
READER = "ForwardChangesEventSourceMappingId"
SCHEDULE = {"VerificationSchedule": "rate(7 days)"}
"""Which starts nothing while tests are running."""
UNSET = ("AWS_PROFILE", "AWS_SESSION_TOKEN")


@pytest.fixture(scope="session")
def deployment_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployed_stack(tmp_path_factory.mktemp("backfill")) as found:
        yield found


@contextmanager
def deployed_stack(directory: Path, **variables: str) -> Iterator[Deployed]:
    """Keep a local AWS with a deployment, with these variables for the emulator beside those of EMULATOR."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (EMULATOR | variables).items():
            patch.setenv(name, value)
        stack = Stack(directory)
        stack.start()
    try:
        yield deploy(stack)
    finally:
        stack.stop()


def deploy(stack: Stack) -> Deployed:
    """Deploy to a local AWS, and let a queue have what the topic of failures announces."""
    users, api = stack.server.users, Api(stack.endpoint_url, REGION)
    database = Database(
        Endpoint(stack.gateway.host, stack.gateway.port, stack.certificates.ca_file.read_text("ascii")),
        administrator=Credentials(users.administrator.username, users.administrator.password),
    )
    api.s3.create_bucket(Bucket=EXPORTS_BUCKET)
    exports = {"ExportsBucketName": EXPORTS_BUCKET}
    usual, usual_of_replication = deployment._parameters, deployment._replication_parameters
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployment, "BUFFER_SECONDS", "0")
        patch.setattr(deployment, "_parameters", lambda *given: usual(*given) | exports)
        patch.setattr(deployment, "_replication_parameters", lambda *given: usual_of_replication(*given) | SCHEDULE)
        found = deployment.deploy(api, database, load_example(), report=lambda _: None)
    deployed = Deployed(stack, api, database, found, found.event_source_mapping)
    sqs, sns = deployed.client("sqs"), deployed.client("sns")
    deployed.topic_queue = sqs.create_queue(QueueName="announced")["QueueUrl"]
    (arn,) = sqs.get_queue_attributes(QueueUrl=deployed.topic_queue, AttributeNames=["QueueArn"])["Attributes"].values()
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [statement | {"Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=deployed.topic_queue, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(TopicArn=deployed.outputs["FailuresTopicArn"], Protocol="sqs", Endpoint=arn)
    deployed.dam_stream()
    wait_until(lambda: is_rotated(deployed))  # by itself, once it is made; tests change the password too
    return deployed


def is_rotated(deployed: Deployed) -> bool:
    """Tell whether the loader no longer has the password that it was made with, and no rotation is under way."""
    secret = {"SecretId": deployed.outputs["DatabaseSecretArn"]}
    stages = deployed.client("secretsmanager").describe_secret(**secret)["VersionIdsToStages"]
    return sorted(stages.values()) == [["AWSCURRENT"], ["AWSPREVIOUS"]]


@pytest.fixture(scope="session")
def sessions() -> Callable[..., boto3.Session]:
    """The SDK's sessions, each made once: a command that reads the models of its services anew takes twice as long."""
    return functools.cache(boto3.Session)


@pytest.fixture
def deployed(
    deployment_of_session: Deployed, sessions: Callable[..., boto3.Session], monkeypatch: pytest.MonkeyPatch
) -> Deployed:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in make_environment(deployment_of_session.stack.endpoint_url, REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "Session", sessions)
    monkeypatch.setattr(sdk, "client", deployment_of_session.client)
    monkeypatch.setattr(stop, "POLL_SECONDS", 0.1)
    deployment_of_session.reset()
    return deployment_of_session


@pytest.fixture(scope="module")
def flowing_stream(deployment_of_session: Deployed) -> Iterator[None]:
    deployment_of_session.release_stream()
    yield
    deployment_of_session.drain_stream()  # else it comes while the next test counts what it has done itself
    deployment_of_session.dam_stream()


@pytest.fixture
def flowing(flowing_stream: None, deployed: Deployed) -> Deployed:
    return deployed


@pytest.fixture
def find_reader(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands find what reads the stream now: tests let another reader do that than the one that was deployed."""
    read = deployments._read_outputs

    def read_with_reader(description: Any) -> dict[str, str]:
        found = read(description)
        known = {READER: deployed.event_source_mapping} if READER in found else {}
        return found | known

    monkeypatch.setattr(deployments, "_read_outputs", read_with_reader)
    monkeypatch.setattr(stream_readers, "LOOK_SECONDS", 0.05)


@pytest.fixture
def run() -> str:
    return make_run_id()
