"""What a deployment costs a month while nothing is written: what its templates make, and what its clocks call.

    platform      what stands in its templates, and a look at all replications every five minutes
    replication   the same, of its own: its share of that look, and an hourly look for what failed

Prices are those of `dynaurora.runs.costs`. Calls were counted on the local AWS, of a day on which nothing happened
(tests/integration/monitoring/test_deployment.py counts them again).
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from dynaurora.runs.costs import PRICES
from infra.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TEMPLATES: Final = ROOT / "infra"
REPLICATION: Final = "replication.yaml"
HOURS_OF_A_MONTH: Final = 730
LOOKS: Final = HOURS_OF_A_MONTH
"""For failures of a replication, at `ReprocessSchedule`'s default."""
CHECKS: Final = HOURS_OF_A_MONTH * 12
"""Of a platform's health, by its rule."""

ENDPOINTS: Final = "Interface endpoints"
STANDING: Final = {
    r"^ +MetricName: ": ("CloudWatch alarms", 1),
    r"^    Type: AWS::CloudWatch::Dashboard$": ("CloudWatch dashboards", 1),
    r"^    Type: AWS::SecretsManager::Secret$": ("Secrets", 1),
    r"^      ManageMasterUserPassword: true": ("Secrets", 1),
    r"^    Type: AWS::KMS::Key$(?!\n    Condition: MakesTopicKey$)": ("KMS keys", 1),
    r"^    Type: AWS::EC2::VPCEndpoint\n    Properties:\n      VpcEndpointType: Interface$": (ENDPOINTS, 1),
}
"""What in a template is paid for all the time, and how often: an alarm by the metrics that it looks at, an endpoint in
one zone. What a parameter has to ask for is left out (`EndpointZones`, `SessionAccess`), and the topic's key, which is
the bucket's where that is made."""

HEALTH_METRICS: Final = 1
"""That the look at all replications measures, as nothing too: an alarm has to know that it was made."""

METRICS_OF_A_TABLE: Final = frozenset(
    {
        ("forward_changes", "ChangesForwarded"),
        ("transform_changes", "ChangesTransformed"),
        ("import_batch", "BatchesImported"),
        ("import_batch", "RowsChanged"),
        ("import_batch", "ReplicationLag"),
    }
)
"""By the function, what a replication sends while its table is changed and nothing is wrong; and nothing at rest."""
METRICS_OF_ALL_TABLES: Final = frozenset({("forward_changes", "StreamsForwarded"), ("import_batch", "BatchesImported")})
"""The same, of all replications together."""

CALLS_OF_A_LOOK: Final = {"S3 writes": 6, "S3 reads": 1, "Step Functions": 5, "Lambda requests": 1}
"""For failures of a replication, where it finds none. S3 bills its lists as it does writes."""
CALLS_OF_A_CHECK: Final = {"S3 reads": 2}
"""Of a platform's health, for each replication, by a new process: itself, of which one that knows them reads what has
changed, and how its stream was read. What else is asked of DynamoDB and Lambda costs nothing."""
CALLS_OF_A_CHECK_OF_ALL: Final = {"S3 writes": 5, "Lambda requests": 1}
"""Of the same, once for all of them."""

CALL_SECONDS: Final = 0.05
"""Of a call of an AWS service by a function: not measured, assumed."""
FREE_CALLS_OF_A_CHECK: Final = 3
"""For each replication: the table, its recovery, and its stream's reader."""
LIST_MEMORY_MB: Final = 512
HEALTH_MEMORY_MB: Final = 256
LOG_BYTES: Final = 1500
"""That an invocation logs, its report and metrics included."""
TRACED_SHARE: Final = 1.0
"""Of invocations: X-Ray's default rule takes the first of each second, and one in twenty of the others."""

KEPT_READS: Final = "KMS"
"""What S3 asks of the bucket's key for what it reads: at most once for each, since a bucket key answers for others."""


def count_standing(names: Iterable[str]) -> dict[str, float]:
    """Return how much is there all the time of what templates make, by its price's name."""
    texts = [(TEMPLATES / name).read_text("utf-8") for name in names]
    standing = defaultdict[str, float](float)
    for pattern, (what, each) in STANDING.items():
        if found := sum(len(re.findall(pattern, text, re.MULTILINE)) for text in texts):
            standing[what] += each * found
    return standing


def count_platform(names: Iterable[str], zones: int = 1) -> dict[str, float]:
    """Return what a platform of these templates uses in a month at rest, without its replications.

    `zones` is how many have the endpoints of a network that it makes: `EndpointZones`.
    """
    used = count_standing(names)
    used |= {what: zones * each for what, each in used.items() if what == ENDPOINTS}
    _add(used, CALLS_OF_A_CHECK_OF_ALL, CHECKS)
    _add_compute(used, CHECKS, HEALTH_MEMORY_MB, CALLS_OF_A_CHECK_OF_ALL["S3 writes"] + 1)
    _add_invocations(used, CHECKS)
    used["CloudWatch metrics"] += HEALTH_METRICS
    return used


def count_replication(looks: float = LOOKS) -> dict[str, float]:
    """Return what a replication uses in a month at rest, that looks so often for what failed."""
    used = count_standing([REPLICATION])
    _add(used, CALLS_OF_A_LOOK, looks)
    _add(used, CALLS_OF_A_CHECK, CHECKS)
    _add_compute(used, looks, LIST_MEMORY_MB, CALLS_OF_A_LOOK["S3 writes"] + CALLS_OF_A_LOOK["S3 reads"])
    _add_compute(used, CHECKS, HEALTH_MEMORY_MB, CALLS_OF_A_CHECK["S3 reads"] + FREE_CALLS_OF_A_CHECK)
    _add_invocations(used, looks)
    used["Scheduler"] += looks
    used[KEPT_READS] += used["S3 reads"]
    return used


def list_templates(*, network: bool = True, database: bool = True) -> list[str]:
    """Return the templates that a platform is made of, where it makes a network and a database, or is given them."""
    unneeded = {REPLICATION, *(() if database else {"database.yaml", "network.yaml"})}
    unneeded |= set() if network else {"network.yaml"}
    return sorted(path.name for path in TEMPLATES.glob("*.yaml") if path.name not in unneeded)


def price_platform(names: Iterable[str], zones: int = 1) -> float:
    """Return what the same costs, in US dollars."""
    return price_all(count_platform(names, zones))


def price_replication(looks: float = LOOKS) -> float:
    """Return what a replication costs a month at rest, that looks so often for what failed, in US dollars."""
    return price_all(count_replication(looks))


def price_all(used: Mapping[str, float]) -> float:
    """Return what quantities cost, in US dollars."""
    return sum(quantity * PRICES[what][0] for what, quantity in used.items())


def _add(used: dict[str, float], calls: Mapping[str, int], times: float) -> None:
    for what, count in calls.items():
        used[what] += count * times


def _add_compute(used: dict[str, float], invocations: float, memory_mb: int, calls: int) -> None:
    used["Lambda compute"] += invocations * memory_mb / 1024 * calls * CALL_SECONDS


def _add_invocations(used: dict[str, float], count: float) -> None:
    used["CloudWatch Logs"] += count * LOG_BYTES / 1e9
    used["X-Ray"] += count * TRACED_SHARE
