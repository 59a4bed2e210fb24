"""The first deployment to a new account: one that fails is rolled back, and the next one of the same names succeeds."""

import pytest

from backfill.deployment.diagnosis import diagnose_cluster
from tests.integration.deployment.conftest import LIMIT, NewAccount
from tests.support.factories import click, click_item
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

NAME, REPLICATION, TABLE = "shop", "shop-clicks", "clicks"
ANOTHER = "CREATE TABLE Demo.`WebAnalytics__replica` (another INT PRIMARY KEY)"


def list_left(account: NewAccount) -> dict[str, set[str]]:
    """What there is of the kinds that a stack retains."""
    keys = account.client("kms")
    kept = (key["KeyId"] for key in keys.list_keys()["Keys"])
    described = (keys.describe_key(KeyId=key)["KeyMetadata"] for key in kept)
    return {
        "tables": set(account.client("dynamodb").list_tables()["TableNames"]),
        "buckets": {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]} - {"artifacts"},
        "clusters": {
            found["DBClusterIdentifier"] for found in account.client("rds").describe_db_clusters()["DBClusters"]
        },
        "keys": {key["Description"] for key in described if key["KeyState"] == "Enabled"},
        "functions": {found["FunctionName"] for found in account.client("lambda").list_functions()["Functions"]},
    }


def test_a_target_that_cannot_be_prepared_is_rolled_back_and_the_second_deployment_succeeds(
    account: NewAccount,
) -> None:
    platform = account.deploy(NAME)
    assert platform["StackStatus"] == "CREATE_COMPLETE", (platform, account.find_reasons())
    before = list_left(account)
    account.execute("CREATE DATABASE IF NOT EXISTS Demo", ANOTHER)
    failed = account.replicate(REPLICATION, platform, TABLE)
    assert failed["StackStatus"] == "ROLLBACK_COMPLETE", failed
    assert any("ColumnsRefusedError" in reason for reason in account.find_reasons())
    assert list_left(account) == before, "nothing stands in the way"

    account.execute("DROP TABLE Demo.`WebAnalytics__replica`")
    account.delete(REPLICATION)
    made = account.replicate(REPLICATION, platform, TABLE)
    assert made["StackStatus"] == "CREATE_COMPLETE", (made, account.find_reasons())
    left = list_left(account)
    assert left["tables"] == {TABLE}
    assert len(left["clusters"]) == 1

    rds, (cluster,) = account.client("rds"), left["clusters"]
    assert [finding.state for finding in diagnose_cluster(rds, cluster)] == ["warning"]
    rds.modify_db_cluster(DBClusterIdentifier=cluster, DeletionProtection=True)
    assert [finding.state for finding in diagnose_cluster(rds, cluster)] == ["yes"]

    account.client("dynamodb").put_item(TableName=TABLE, Item=click_item(click(Hits=7), "first"))
    assert wait_until(lambda: account.execute("SELECT page_id, hits FROM Demo.WebAnalytics")) == (("first", 7),)


def test_a_reservation_fails_a_small_account_by_name_and_the_default_reserves_nothing(account: NewAccount) -> None:
    before = list_left(account)
    failed = account.deploy("reserving", ReserveImportConcurrency="yes")
    assert failed["StackStatus"] == "ROLLBACK_COMPLETE"
    refusal = f"UnreservedConcurrentExecution below its minimum value of [{LIMIT}]"
    assert any(refusal in reason for reason in account.find_reasons())
    assert list_left(account) == before
