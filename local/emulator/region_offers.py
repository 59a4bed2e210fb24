"""What a Region offers: versions of Aurora MySQL, zones with Serverless v2 instances, zones with interface endpoints.

The emulator lists older versions only, no instances of a serverless class, and few services with endpoints. What it
lacks is answered here, in the fields that are asked for. DYNAURORA_LACKING_ZONES names zones, by the letter they end
with, that offer none of it: "a" or "a,b"; none unless set.
"""

import os
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2, rds

from local.emulator.replacements import Replacements

VERSIONS = {
    "8.0.mysql_aurora.3.10.6": "aurora-mysql8.0",
    "8.4.mysql_aurora.8.4.8": "aurora-mysql8.4",
    "8.4.mysql_aurora.8.4.10": "aurora-mysql8.4",
}
"""Engine versions that are newer than the emulator, with their families (Aurora MySQL Release Notes)."""
SERVERLESS = "db.serverless"


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    versions, options = "_ACTION_MAP[DescribeDBEngineVersions]", "_ACTION_MAP[DescribeOrderableDBInstanceOptions]"
    emulator.wrap(rds.__name__, versions, "(p)", _list_versions)
    emulator.wrap(rds.__name__, options, "(p)", _list_options)
    emulator.require(ec2.__name__, "_parse_member_list", "(params, prefix)")
    emulator.wrap(ec2.__name__, "_ACTION_MAP[DescribeVpcEndpointServices]", "(p)", _list_services)


def _list_versions(original: Any) -> Any:
    def describe(p: dict[str, Any]) -> Any:
        version = rds._p(p, "EngineVersion")
        if rds._p(p, "Engine") != "aurora-mysql" or version not in VERSIONS:
            return original(p)
        fields = {"Engine": "aurora-mysql", "EngineVersion": version, "DBParameterGroupFamily": VERSIONS[version]}
        found = f"<DBEngineVersions><DBEngineVersion>{_tags(fields)}</DBEngineVersion></DBEngineVersions>"
        result = "DescribeDBEngineVersionsResult"
        return rds._xml(200, "DescribeDBEngineVersionsResponse", f"<{result}>{found}</{result}>")

    return describe


def _list_options(original: Any) -> Any:
    def describe(p: dict[str, Any]) -> Any:
        version = rds._p(p, "EngineVersion")
        if rds._p(p, "Engine") != "aurora-mysql" or rds._p(p, "DBInstanceClass") != SERVERLESS:
            return original(p)
        fields = {"Engine": "aurora-mysql", "EngineVersion": version, "DBInstanceClass": SERVERLESS}
        zones = "".join(f"<AvailabilityZone><Name>{zone}</Name></AvailabilityZone>" for zone in _list_zones())
        option = f"{_tags(fields)}<AvailabilityZones>{zones}</AvailabilityZones>"
        is_known = version in VERSIONS or version in rds.AURORA_MYSQL_ENGINE_VERSION_SET
        found = f"<OrderableDBInstanceOption>{option}</OrderableDBInstanceOption>" if is_known else ""
        options, result = f"<OrderableDBInstanceOptions>{found}</OrderableDBInstanceOptions>", "DescribeOrderable"
        return rds._xml(
            200,
            f"{result}DBInstanceOptionsResponse",
            f"<{result}DBInstanceOptionsResult>{options}</{result}DBInstanceOptionsResult>",
        )

    return describe


def _list_services(original: Any) -> Any:
    def describe(p: dict[str, Any]) -> Any:
        wanted = ec2._parse_member_list(p, "ServiceName")
        if not wanted:
            return original(p)
        zones = "".join(f"<item>{zone}</item>" for zone in _list_zones())
        names = "".join(f"<item>{name}</item>" for name in wanted)
        details = "".join(
            f"<item><serviceName>{name}</serviceName><serviceType><item><serviceType>Interface</serviceType></item>"
            f"</serviceType><availabilityZoneSet>{zones}</availabilityZoneSet></item>"
            for name in wanted
        )
        answer = f"<serviceNameSet>{names}</serviceNameSet><serviceDetailSet>{details}</serviceDetailSet>"
        return ec2._xml(200, "DescribeVpcEndpointServicesResponse", answer)

    return describe


def _list_zones() -> list[str]:
    lacking = os.environ.get("DYNAURORA_LACKING_ZONES", "").split(",")
    return [f"{get_region()}{letter}" for letter in "abc" if letter not in lacking]


def _tags(fields: dict[str, str]) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
