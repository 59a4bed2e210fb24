import os
import subprocess

from tests.e2e.conftest import DYNAURORA, LocalAws


def test_up_is_idempotent_and_prints_where_things_are(local_aws: LocalAws) -> None:
    before = local_aws.state
    where = local_aws.run_json("up")
    assert local_aws.state == before
    assert where["endpoint_url"] == before.endpoint_url
    assert set(where) == {
        "endpoint_url",
        "region",
        "table",
        "bucket",
        "delivery_stream",
        "state_machines",
        "replications",
        "aurora",
    }
    own = {name: where[name] for name in ("table", "delivery_stream")}
    target = {"database": "Demo", "table": "WebAnalytics"}
    assert where["replications"] == {"web_analytics": own | {"targets": [target]}}
    assert set(where["aurora"]) == {"host", "port", "user", "password", "database"}
    assert set(where["state_machines"]) == {"import_batch", "backfill_table"}
    assert local_aws.api.dynamodb.describe_table(TableName=where["table"])["Table"]["TableStatus"] == "ACTIVE"
    local_aws.api.s3.head_bucket(Bucket=where["bucket"])


def test_status_counts_what_is_where(local_aws: LocalAws) -> None:
    status = local_aws.run_json("status")
    assert status["running"]
    assert status["pipeline"]["executions"]["running"] == 0
    assert status["pipeline"]["waiting"] == 0
    assert status["pipeline"].keys() == {"waiting", "executions", "items", "rows"}
    assert "batches waiting" in local_aws.run("status")


def test_env_lets_the_clients_reach_it(local_aws: LocalAws) -> None:
    exports = local_aws.run("env")
    script = f"""{exports}
    python - <<'END'
import boto3
print(boto3.client("dynamodb").list_tables()["TableNames"])
END
    mysql -N -e "SELECT COUNT(*) FROM Demo.WebAnalytics"
    """
    search = os.pathsep.join([str(DYNAURORA.parent), os.environ["PATH"]])
    answer = subprocess.run(
        ["bash", "-euc", script], env={"PATH": search, "HOME": "/nowhere"}, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    tables, rows = answer.stdout.splitlines()
    assert tables == "['web_analytics']"
    assert rows.isdigit()


def test_without_a_local_aws_commands_say_how_to_start_one(idle_aws: LocalAws) -> None:
    assert idle_aws.run_json("status", status=1) == {"running": False}
    assert idle_aws.run("down") == "Nothing was running.\n"
    assert idle_aws.run("env", status=1) == ""


def test_a_misspelt_command_ends_with_status_2(idle_aws: LocalAws) -> None:
    idle_aws.run("upp", status=2)
    idle_aws.run("demo", "--items", "0", status=2)


def test_auth_is_not_taken_for_granted(local_aws: LocalAws) -> None:
    local_aws.run("demo", "--items", "10", status=1, AUTH="true")
