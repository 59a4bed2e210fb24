"""What a deployment costs: the sums of docs/deploy.md, and quantities as the templates have them; a table at rest.

Prices are Amazon's: aws.amazon.com/privatelink/pricing, /cloudwatch/pricing, /kms/pricing, /secrets-manager/pricing,
/ec2/pricing, /rds/aurora/pricing and /kinesis/data-firehose/pricing, as of November 2025.
"""

import re

import pytest

from infra.monthly_costs import (
    CALLS_OF_A_LOOK,
    CHECKS,
    HEALTH_MEMORY_MB,
    HEALTH_METRICS,
    HOURS_OF_A_MONTH,
    LIST_MEMORY_MB,
    LOOKS,
    METRICS_OF_A_TABLE,
    METRICS_OF_ALL_TABLES,
    count_platform,
    count_replication,
    count_standing,
    list_templates,
    price_replication,
)
from tests.infrastructure.deployment import PROJECT, REPLICATION, get_resource, list_resources, read_template
from tests.infrastructure.metrics import read_emitted, read_emitted_of_all
from tests.infrastructure.test_monitoring import ALARMS, read_queries
from tests.workflows.executions import read_cases

COLUMNS = ("count", "each", "month")
ROW = re.compile(
    r"^\| (?P<what>[^|]+?) \| (?P<count>[\d.]+) \| (?P<each>[\d.]+) \| (?P<month>[\d.]+) \|$", re.MULTILINE
)
ROWS = [match.groupdict() for match in ROW.finditer((PROJECT / "docs" / "deploy.md").read_text("utf-8"))]
HOURS = HOURS_OF_A_MONTH
OF_SESSIONS = "with `SessionAccess`: endpoints"
FROM_TEMPLATES = {
    "network: interface endpoints, by zone",
    "alarms, by the metrics that they look at",
    "dashboard",
    "KMS keys",
    "secrets",
    OF_SESSIONS,
}


def count_endpoints(*, conditional):
    """Interface endpoints, each as often as it has subnets by default."""
    assert read_template("platform")["Parameters"]["EndpointZones"]["Default"] == 1
    return sum(
        sum("Fn::If" not in subnet for subnet in endpoint.properties["SubnetIds"])
        for endpoint in list_resources("AWS::EC2::VPCEndpoint")
        if endpoint.properties["VpcEndpointType"] == "Interface" and ("Condition" in endpoint.attributes) == conditional
    )


def count_all(kind):
    return len(list_resources(kind))


def count_quantities():
    return {
        "network: interface endpoints, by zone": count_endpoints(conditional=False),
        OF_SESSIONS: count_endpoints(conditional=True),
        "alarms, by the metrics that they look at": sum(len(read_queries(alarm)) for alarm in ALARMS),
        "dashboard": count_all("AWS::CloudWatch::Dashboard"),
        "KMS keys": sum(key.attributes.get("Condition") != "MakesTopicKey" for key in list_resources("AWS::KMS::Key")),
        # RDS keeps the administrator's itself.
        "secrets": count_all("AWS::SecretsManager::Secret")
        + bool(get_resource("DatabaseCluster").properties["ManageMasterUserPassword"]),
    }


def test_the_quantities_are_those_of_the_templates():
    documented = {row["what"]: int(row["count"]) for row in ROWS if row["what"] in FROM_TEMPLATES}
    assert documented == count_quantities()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["what"])
def test_a_months_price_is_quantity_times_price(row):
    assert round(float(row["count"]) * float(row["each"]), 2) == float(row["month"])


def test_an_endpoint_is_paid_by_the_hour():
    prices = {row["each"] for row in ROWS if "endpoints" in row["what"]}
    assert prices == {f"{0.01 * HOURS:.2f}"}


def test_the_sum_is_about_what_is_said():
    months = {row["what"]: float(row["month"]) for row in ROWS}
    everything = sum(price for what, price in months.items() if "SessionAccess" not in what)
    brought_along = sum(price for what, price in months.items() if what.startswith(("network", "Aurora", "with")))
    text = (PROJECT / "docs" / "deploy.md").read_text("utf-8")
    assert f"about {round(everything, -1):.0f} dollars with everything made" in text
    assert f"it is about {round(sum(months.values()) - brought_along, -1):.0f}." in text


# A table at rest


def test_a_table_at_rest_costs_a_dollar_a_month_at_most():
    assert 0 < price_replication() <= 1


def test_a_deployments_plan_counts_what_the_templates_have():
    of_tables = sum(len(read_queries(alarm)) for alarm in ALARMS if alarm.template == REPLICATION)
    assert count_standing([f"{REPLICATION}.yaml"]) == {"CloudWatch alarms": of_tables}
    found = count_quantities()
    assert count_standing(list_templates()) == {
        "Interface endpoints": found["network: interface endpoints, by zone"],
        "CloudWatch alarms": found["alarms, by the metrics that they look at"] - of_tables,
        "CloudWatch dashboards": found["dashboard"],
        "KMS keys": found["KMS keys"],
        "Secrets": found["secrets"],
    }


def test_a_platform_without_a_database_of_its_own_has_no_endpoints_to_pay_for():
    assert "Interface endpoints" not in count_platform(list_templates(network=False))
    made, given = (count_platform(list_templates(database=database)) for database in (True, False))
    assert given["KMS keys"] < made["KMS keys"]


def test_the_clocks_are_those_of_the_templates():
    assert read_template(REPLICATION)["Parameters"]["ReprocessSchedule"]["Default"] == "rate(1 hour)"
    assert get_resource("MeasureHealthRule").properties["ScheduleExpression"] == "rate(5 minutes)"
    assert (LOOKS, CHECKS) == (HOURS, HOURS * 60 // 5)
    for memory, function in ((LIST_MEMORY_MB, "ListFailures"), (HEALTH_MEMORY_MB, "MeasureHealth")):
        assert get_resource(f"{function}Function").properties["MemorySize"] == memory


def test_a_look_that_finds_nothing_has_so_many_transitions():
    states = read_cases()["reprocess_failures"]["cases"]["NothingFailed"]["states"]
    assert CALLS_OF_A_LOOK["Step Functions"] == 1 + len(states)
    assert count_replication()["Step Functions"] == HOURS * CALLS_OF_A_LOOK["Step Functions"]


def test_what_is_sent_when_nothing_is_wrong_is_counted():
    (documented,) = (int(row["count"]) for row in ROWS if row["what"].startswith("metrics of the functions"))
    assert documented == HEALTH_METRICS + len(METRICS_OF_A_TABLE) + len(METRICS_OF_ALL_TABLES)
    counted = {"FailuresParked", "StreamsUnread", "StreamsNearLoss", "BatchesWaiting"}  # sent where there is any
    assert len(read_emitted()["measure_health"][0] - counted) == HEALTH_METRICS
    assert all(name in read_emitted()[function][0] for function, name in METRICS_OF_A_TABLE)
    assert all(name in read_emitted_of_all(function) for function, name in METRICS_OF_ALL_TABLES)
