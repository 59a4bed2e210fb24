"""`dynaurora doctor` on a deployment: all is well, or one thing is missing and named with what to do."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands import doctor
from backfill.deployment import diagnosis
from backfill.deployment.deployments import find_deployments
from dynaurora import keys
from dynaurora.aurora.migrations import VERIFICATIONS
from dynaurora.aurora.verifications import Verifications
from tests.integration.backfill.deployed import MAPPING, Deployed

pytestmark = pytest.mark.integration

Act = Callable[[Deployed], None]
LIFECYCLE = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": "failed_batches/"}, "Expiration": {"Days": 1}}
CHECKS = [
    *("the stack", "the table", "the table's keys", "the stream's reader"),
    *("what the stream lost", "how late rows are"),
    *("the bucket's events", "the bucket's versions", "the bucket's privacy", "what failed is kept"),
    *("failures", "verification by the clock", "who is told of failures"),
    *(
        "the loader's secret",
        "the loader's connection",
        "the server's version",
        "TLS of others",
        "the server's settings",
    ),
    *("tables and view", "targets complete", "what imports rely on", "the loader's rights", "loading from S3"),
    "rows and items",
]


@pytest.fixture(autouse=True)
def settled(deployed: Deployed) -> None:
    """Have nothing be kept as failed, and all rows be found equal."""
    deployed.forget_failures()
    verify(deployed, 0)


def verify(deployed: Deployed, unexplained: int | None) -> None:
    """Have the one verification there was have ended so; None for none."""
    with deployed.connect() as aurora:
        with aurora.transaction():
            aurora.execute(f"DELETE FROM {deployed.name_table(VERIFICATIONS)}")
        if unexplained is not None:
            verifications = Verifications(aurora, deployed.mapping)
            verifications.open("v1", "scan")
            verifications.close("v1", {"items": 9}, unexplained, whole=True)


@pytest.fixture
def ask(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Any]]:
    """Run the command and return its status and what it says, as JSON."""

    def find(*arguments: Any) -> Any:
        # Tests of this folder let another mapping read the stream than the one that was deployed.
        read_by = deployed.event_source_mapping
        return [dataclasses.replace(found, event_source_mapping=read_by) for found in find_deployments(*arguments)]

    monkeypatch.setattr(doctor, "find_deployments", find)

    def run(*arguments: str) -> tuple[int, Any]:
        answer = CliRunner().invoke(main, ["doctor", *arguments, "--json"])
        return answer.exit_code, json.loads(answer.stdout.splitlines()[-1])

    return run


def missing(document: Any) -> dict[str, Any]:
    """What is not well; how late rows are depends on what other tests have written."""
    found = {finding["check"]: finding for finding in document["findings"] if finding["state"] != "yes"}
    found.pop("how late rows are", None)
    return found


def test_a_deployment_has_everything_it_needs(deployed: Deployed, ask: Callable[..., tuple[int, Any]]) -> None:
    status, document = ask(MAPPING)
    assert missing(document) == {}
    assert (status, document["healthy"]) == (0, True)
    assert [finding["check"] for finding in document["findings"]] == CHECKS
    assert (document["stack"], document["table"]) == ("dynaurora-web-analytics", deployed.table)
    shown = CliRunner().invoke(main, ["doctor"])
    assert shown.exit_code == 0
    *checks, loading, _ = [check for check in CHECKS if check != "how late rows are"]
    said = [*checks, f"{loading}: batches are staged in temporary tables (small ones in memory)"]
    *told, compared = [line for line in shown.stdout.splitlines() if "how late rows are" not in line]
    told = [line.removesuffix(": rate(7 days)") for line in told]
    assert told[: len(said)] == [f"✓ {check}" for check in said], "the deployment has tried, and recorded it"
    assert compared.startswith("✓ rows and items: verified at ")


def recovery(deployed: Deployed, wrong: bool) -> None:
    deployed.set_recovery(enabled=not wrong)


def reader(deployed: Deployed, wrong: bool) -> None:
    deployed.enable_event_source_mapping(enabled=not wrong)


def events(deployed: Deployed, wrong: bool) -> None:
    configuration = {} if wrong else {"EventBridgeConfiguration": {}}
    deployed.client("s3").put_bucket_notification_configuration(
        Bucket=deployed.bucket, NotificationConfiguration=configuration
    )


def versions(deployed: Deployed, wrong: bool) -> None:
    configuration = {"Status": "Suspended" if wrong else "Enabled"}
    deployed.client("s3").put_bucket_versioning(Bucket=deployed.bucket, VersioningConfiguration=configuration)


def privacy(deployed: Deployed, wrong: bool) -> None:
    names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    blocked = dict.fromkeys(names, True) | ({"BlockPublicPolicy": False} if wrong else {})
    deployed.client("s3").put_public_access_block(Bucket=deployed.bucket, PublicAccessBlockConfiguration=blocked)


def lifecycle(deployed: Deployed, wrong: bool) -> None:
    s3 = deployed.client("s3")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=deployed.bucket)["Rules"]
    rules = [*rules, LIFECYCLE] if wrong else [rule for rule in rules if rule["ID"] != "tidy"]
    s3.put_bucket_lifecycle_configuration(Bucket=deployed.bucket, LifecycleConfiguration={"Rules": rules})


def rights(deployed: Deployed, wrong: bool) -> None:
    secret = deployed.client("secretsmanager").get_secret_value(SecretId=deployed.outputs["DatabaseSecretArn"])
    user = json.loads(secret["SecretString"])["username"]
    with deployed.stack.server.connect() as connection, connection.cursor() as cursor:
        word = "REVOKE DELETE ON Demo.* FROM" if wrong else "GRANT DELETE ON Demo.* TO"
        cursor.execute(f"{word} {user}@'%'")


def secret(deployed: Deployed, wrong: bool) -> None:
    arn = (
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:none" if wrong else deployed.outputs["DatabaseSecretArn"]
    )
    (before,) = deployed.set_variables("CheckTargetFunctionName", DATABASE_SECRET_ARN=arn).values()
    deployed.rename_in_policies(before, arn)


@contextmanager
def broken(deployed: Deployed, act: Callable[..., None]) -> Iterator[None]:
    act(deployed, wrong=True)
    try:
        yield
    finally:
        act(deployed, wrong=False)


@pytest.mark.parametrize(
    ("act", "checks", "says", "remedy"),
    [
        (recovery, {"the table"}, "recovery is off", "update-continuous-backups"),
        (reader, {"the stream's reader"}, "switched off, not by `dynaurora pause`", "`dynaurora resume web_analytics`"),
        (events, {"the bucket's events"}, "does not tell EventBridge", "put-bucket-notification-configuration"),
        (versions, {"the bucket's versions"}, "keeps no versions", "put-bucket-versioning"),
        (privacy, {"the bucket's privacy"}, "does not have BlockPublicPolicy", "put-public-access-block"),
        (lifecycle, {"what failed is kept"}, "the lifecycle rule tidy", "dynaurora=imported"),
        (rights, {"the loader's rights"}, "DELETE command denied", "`dynaurora prepare web_analytics --host"),
        (secret, {*CHECKS[-11:]}, "MissingSecretError", "DatabaseSecretArn"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_missing_is_named_with_what_to_do(
    deployed: Deployed,
    ask: Callable[..., tuple[int, Any]],
    act: Callable[..., None],
    checks: set[str],
    says: str,
    remedy: str,
) -> None:
    with broken(deployed, act):
        status, document = ask(MAPPING)
        shown = CliRunner().invoke(main, ["doctor"]).stdout
    found = missing(document)
    if act is secret:
        found.pop("verification by the clock", None)  # of a function that may have kept what it read of it
    assert (status, document["healthy"], found.keys()) == (1, False, checks)
    (named,) = (finding for finding in found.values() if finding["state"] == "no")
    assert says in named["detail"]
    assert remedy in named["remedy"]
    assert f"✗ {named['check']}: {named['detail']}\n    {named['remedy']}\n" in shown


@pytest.mark.parametrize(
    ("subscriptions", "says"),
    [([], "nobody: nobody is subscribed"), (["PendingConfirmation"], "nobody: who was asked has not confirmed it")],
    ids=["nobody", "unconfirmed"],
)
def test_a_topic_that_tells_nobody_is_warned_of(deployed: Deployed, subscriptions: list[str], says: str) -> None:
    client = deployed.client("sns")
    sns = Stubber(client)
    answer = {"Subscriptions": [{"SubscriptionArn": arn} for arn in subscriptions]}
    sns.add_response("list_subscriptions_by_topic", answer, {"TopicArn": "arn:topic"})
    with sns:
        (finding,) = diagnosis.diagnose_people(client, "arn:topic")
    assert (finding.state, finding.detail) == ("warning", says)
    assert "FailuresEmail" in finding.remedy


def test_a_warning_is_no_failure(deployed: Deployed, ask: Callable[..., tuple[int, Any]]) -> None:
    sns, topic = deployed.client("sns"), deployed.outputs["FailuresTopicArn"]
    (queue,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=queue["SubscriptionArn"])
    try:
        status, document = ask(MAPPING)
        shown = CliRunner().invoke(main, ["doctor"])
    finally:
        sns.subscribe(TopicArn=topic, Protocol=queue["Protocol"], Endpoint=queue["Endpoint"])
    (finding,) = missing(document).values()
    assert (status, document["healthy"], finding["state"]) == (0, True, "warning")
    assert shown.exit_code == 0
    assert "! who is told of failures: nobody: nobody is subscribed\n    Deploy with FailuresEmail" in shown.stdout


def test_what_failed_and_what_was_not_compared_is_warned_of(
    deployed: Deployed, ask: Callable[..., tuple[int, Any]]
) -> None:
    place = {"Bucket": deployed.bucket, "Key": f"{keys.failed_batches_prefix(MAPPING)}x.json"}
    deployed.client("s3").put_object(**place, Body=b"{}")
    parked = {"Bucket": deployed.bucket, "Key": keys.parked(MAPPING, place["Key"])}
    deployed.client("s3").put_object(**parked, Body=b"{}")
    verify(deployed, None)
    try:
        status, document = ask(MAPPING)
        found = [finding for finding in document["findings"] if finding["check"] == "failures"]
    finally:
        for each in (place, parked):
            deployed.client("s3").delete_object(**each)
    assert (status, document["healthy"], missing(document).keys()) == (0, True, {"failures", "rows and items"})
    assert [finding["detail"] for finding in found] == [
        "1 failure kept",
        "1 failure parked, which nothing takes up by itself",
    ]
    assert f"`dynaurora failures count {MAPPING}`" in found[0]["remedy"]
    assert missing(document)["rows and items"]["detail"] == "they were never compared"
    verify(deployed, 3)
    told = missing(ask(MAPPING)[1])["rows and items"]
    assert "3 differ without an explanation" in told["detail"]
    assert told["state"] == "warning"
    verify(deployed, 0)
    with deployed.connect() as aurora, aurora.transaction():
        aurora.execute(f"UPDATE {deployed.name_table(VERIFICATIONS)} SET ended_at = ended_at - INTERVAL 9 DAY")
    (late,) = missing(ask(MAPPING)[1]).values()
    assert (late["check"], late["state"]) == ("verification by the clock", "warning")
    assert late["detail"].startswith("it is to be verified by rate(7 days), and was last at ")


def test_a_function_that_fails_leaves_the_target_unknown(
    deployed: Deployed, ask: Callable[..., tuple[int, Any]]
) -> None:
    with deployed.variables("CheckTargetFunctionName", DATABASE_PORT="none"):
        status, document = ask()
    found = missing(document)
    assert (status, found.keys()) == (1, set(CHECKS[-11:]))
    assert {finding["state"] for finding in found.values()} == {"unknown"}
    assert "InvalidSettingsError" in found["loading from S3"]["detail"]


def test_what_may_not_be_seen_is_unknown(
    deployed: Deployed, ask: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Iterator[tuple[str, str]]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "No."}}, "GetBucketVersioning")

    monkeypatch.setattr(diagnosis, "look_at_versions", refuse)
    status, document = ask()
    (finding,) = missing(document).values()
    assert (status, finding["check"], finding["state"]) == (1, "the bucket's versions", "unknown")
    assert "AWS refused GetBucketVersioning" in finding["detail"]


def test_a_table_is_looked_at_before_there_is_a_stack(deployed: Deployed, ask: Callable[..., tuple[int, Any]]) -> None:
    dynamodb = deployed.client("dynamodb")
    dynamodb.create_table(
        TableName="clicks",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "page", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "page", "AttributeType": "S"}],
    )
    try:
        status, document = ask(MAPPING, "--table", "clicks")
    finally:
        dynamodb.delete_table(TableName="clicks")
    assert (status, document["stack"], document["table"]) == (1, None, "clicks")
    assert [(finding["check"], finding["detail"]) for finding in document["findings"]] == [
        ("the table", "its point-in-time recovery is off"),
        ("the table", "its stream is off"),
        ("the table's keys", "they are page, and the mapping web_analytics has page_id and activity_dt"),
    ]


def test_a_table_whose_keys_are_of_other_types_is_told(deployed: Deployed, ask: Callable[..., tuple[int, Any]]) -> None:
    dynamodb = deployed.client("dynamodb")
    names = {"page_id": ("HASH", "N"), "activity_dt": ("RANGE", "B")}
    dynamodb.create_table(
        TableName="numbers",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, (kind, _) in names.items()],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, (_, kind) in names.items()],
    )
    try:
        _, document = ask(MAPPING, "--table", "numbers")
    finally:
        dynamodb.delete_table(TableName="numbers")
    told = [finding["detail"] for finding in document["findings"] if finding["check"] == "the table's keys"]
    assert told == [
        "the table's key page_id is a number, and the schema allows string: every item is refused",
        "the table's key activity_dt is binary, which a VARCHAR(64) does not take",
    ]


def test_a_table_that_is_not_there_is_said_not_to_be(deployed: Deployed, ask: Callable[..., tuple[int, Any]]) -> None:
    status, document = ask(MAPPING, "--table", "nowhere")
    assert status == 1
    assert missing(document)["the table"]["detail"] == "there is no table nowhere in this account and region"
    (keys,) = [finding for finding in document["findings"] if finding["check"] == "the table's keys"]
    assert (keys["state"], keys["detail"]) == ("unknown", "there is no table to look at")


@pytest.mark.parametrize(
    "arguments", [["--table", "clicks"], [MAPPING, "--table", "clicks", "--stack", "s"], ["other"], ["--stack", "none"]]
)
def test_wrong_use_is_told(deployed: Deployed, ask: Callable[..., tuple[int, Any]], arguments: list[str]) -> None:
    status, document = ask(*arguments)
    assert (status, document["exit_status"]) == (2, 2)
