"""What Amazon RDS takes as a parameter of an Aurora MySQL cluster: names and values, of those that the templates use.

A parameter that is not here is refused, so that a template's next one is looked up before it is used. `infra/` is held
to the same table without the emulator.
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Parameter:
    """One parameter of a cluster."""

    allowed: str
    """The values, as DescribeDBClusterParameters lists them under AllowedValues."""
    pattern: str
    """The same, as a regular expression of the whole value."""
    source: str
    """Where AWS or its users document it, and when that was looked up."""


PARAMETERS: Final = {
    "aws_default_s3_role": Parameter(
        "the ARN of a role",
        r"arn:aws[a-z-]*:iam::[0-9]{12}:role/.+",
        'Aurora User Guide, "Loading data ... from text files in an Amazon S3 bucket", 2026-11-28',
    ),
    "require_secure_transport": Parameter(
        "ON,OFF",
        "ON|OFF",
        'Aurora User Guide, "Security with Amazon Aurora MySQL", and prowler-cloud/prowler pull request 4116, whose'
        " pictures of the console show ON for clusters and 1 for instances, 2026-11-28",
    ),
    "activate_all_roles_on_login": Parameter(
        "0,1",
        "[01]",
        'Aurora User Guide, "Aurora MySQL configuration parameters", which lists it as boolean, 2026-11-28',
    ),
}
FAMILIES: Final = {"8.0": "aurora-mysql8.0", "8.4": "aurora-mysql8.4"}
"""The family of a cluster's parameter group, by the MySQL version that its engine version begins with."""


def find_parameter_problem(name: str, value: str) -> str | None:
    """Return how RDS refuses a value of a cluster's parameter; None where it takes it."""
    parameter = PARAMETERS.get(name)
    if parameter is None:
        return f"Could not find parameter with name: {name}"
    if re.fullmatch(parameter.pattern, value) is None:
        return f"Invalid parameter value: {value} for: {name} allowed values are: {parameter.allowed}"
    return None


def find_family_problem(engine_version: str, group: str, family: str) -> str | None:
    """Return how RDS refuses a parameter group of another family than the cluster's; None where it takes it."""
    wanted = FAMILIES.get(engine_version.partition(".mysql_aurora.")[0])
    if family == wanted:
        return None
    return (
        f"The Parameter Group {group} with DBParameterGroupFamily {family} cannot be used for this instance. "
        f"Please use a Parameter Group with DBParameterGroupFamily {wanted}"
    )
