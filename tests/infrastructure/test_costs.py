"""What docs/deploy.md says that a stack costs: its sums, and its quantities as the templates have them.

Prices are Amazon's: aws.amazon.com/privatelink/pricing, /cloudwatch/pricing, /kms/pricing, /secrets-manager/pricing,
/ec2/pricing, /rds/aurora/pricing and /kinesis/data-firehose/pricing, as of November 2025.
"""

import re

import pytest

from tests.infrastructure.deployment import PROJECT, get_resource, list_resources
from tests.infrastructure.test_monitoring import ALARMS, read_queries

COLUMNS = ("count", "each", "month")
ROW = re.compile(
    r"^\| (?P<what>[^|]+?) \| (?P<count>[\d.]+) \| (?P<each>[\d.]+) \| (?P<month>[\d.]+) \|$", re.MULTILINE
)
ROWS = [match.groupdict() for match in ROW.finditer((PROJECT / "docs" / "deploy.md").read_text("utf-8"))]
HOURS = 730
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
    """Interface endpoints, each as often as it has subnets."""
    return sum(
        len(endpoint.properties["SubnetIds"])
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
        "KMS keys": count_all("AWS::KMS::Key"),
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
