"""What is deployed: root stacks, found by their outputs in CloudFormation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from backfill.kinds import BACKFILL
from backfill.project import own_stack
from backfill.terminal.console import WrongUseError, name_command
from dynaurora.failures.list_failures import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mypy_boto3_cloudformation import CloudFormationClient

    from backfill.kinds import Kind

OUTPUTS: Final = {
    "table": "SourceTableName",
    "bucket": "LandingBucketName",
    "backfill_table_arn": "BackfillTableStateMachineArn",
    "reprocess_failures_arn": "ReprocessFailuresStateMachineArn",
    "import_batch_arn": "ImportBatchStateMachineArn",
    "describe_runs": "DescribeRunsFunctionName",
    "check_target": "CheckTargetFunctionName",
    "event_source_mapping": "ForwardChangesEventSourceMappingId",
    "failures_topic": "FailuresTopicArn",
}
"""The output of the root stack for each name."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One root stack that replicates one mapping, and the names of what the commands ask."""

    stack: str
    mapping: str
    table: str
    """The DynamoDB table."""
    bucket: str
    """The landing bucket."""
    backfill_table_arn: str
    reprocess_failures_arn: str
    import_batch_arn: str
    describe_runs: str
    """The function's name."""
    check_target: str
    """The function's name."""
    event_source_mapping: str
    """Id of what reads the table's stream."""
    failures_topic: str
    """The ARN of the topic that people are told on."""
    change_mapping: str = ""
    """The function's name; empty where the stack has no administrator's secret."""
    cluster: str = ""
    """Identifier of the Aurora cluster that the stack made; empty where it uses another one."""
    ignores_expiries: bool = False
    """Whether deletes by Time to Live are not replicated."""

    @property
    def place(self) -> Place:
        """Where its failures are."""
        return Place(self.bucket, self.mapping, self.table)

    def machine_arn(self, kind: Kind) -> str:
        """Return the ARN of the state machine that does the runs of a kind."""
        return self.backfill_table_arn if kind is BACKFILL else self.reprocess_failures_arn

    def execution_arn(self, kind: Kind, name: str) -> str:
        """Return the ARN that an execution with a name has, in the state machine of a kind."""
        return f"{self.machine_arn(kind).replace(':stateMachine:', ':execution:', 1)}:{name}"


def find_deployments(cloudformation: CloudFormationClient, stack: str | None = None) -> list[Deployment]:
    """Return the project's deployments, all where there is no project, or the one of a stack.

    Raises WrongUseError where that has none.
    """
    if stack is None:
        pages = cloudformation.get_paginator("describe_stacks").paginate()
        deployments = filter(None, (read_stack(found) for page in pages for found in page["Stacks"]))
        return [deployment for deployment in deployments if is_own(deployment.stack)]
    try:
        (description,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ValidationError":
            raise
        raise WrongUseError(
            f"There is no stack {stack} in this account and region. List the stacks with: "
            "aws cloudformation describe-stacks --query 'Stacks[].StackName'"
        ) from error
    if deployment := read_stack(description):
        return [deployment]
    raise WrongUseError(
        f"The stack {stack} is not one of these commands': it lacks {_name_missing(description)}. Name the root "
        "stack, or update it from infra/."
    )


def is_own(stack: str) -> bool:
    """Tell whether a stack is the platform's of the project, or named after it; any is where there is no project."""
    platform = own_stack()
    return platform is None or stack == platform or stack.startswith(f"{platform}-")


def read_stack(description: Mapping[str, Any]) -> Deployment | None:
    """Return the deployment that a stack of DescribeStacks is; None for nested stacks and those of others."""
    outputs = _read_outputs(description)
    parameters = {given["ParameterKey"]: given.get("ParameterValue", "") for given in description.get("Parameters", [])}
    if description.get("ParentId") or "Mapping" not in parameters:
        return None
    if not outputs.keys() >= set(OUTPUTS.values()):
        return None
    return Deployment(
        stack=description["StackName"],
        mapping=parameters["Mapping"],
        change_mapping=outputs.get("ChangeMappingFunctionName", ""),
        cluster=outputs.get("DatabaseClusterId", ""),
        ignores_expiries=parameters.get("TtlDeletes") == "ignore",
        **{name: outputs[output] for name, output in OUTPUTS.items()},
    )


def _read_outputs(description: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}


def _name_missing(description: Mapping[str, Any]) -> str:
    outputs = _read_outputs(description)
    missing = [output for output in OUTPUTS.values() if output not in outputs]
    return f"the output {missing[0]}" if missing else "the parameter Mapping"


def choose_deployment(deployments: Sequence[Deployment], mapping: str | None) -> Deployment:
    """Return the one deployment of a mapping, or of all.

    Raises WrongUseError where there is none, or more than one.
    """
    if mapping is None:
        return choose_only(deployments)
    fitting = [deployment for deployment in deployments if deployment.mapping == mapping]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise WrongUseError(
            f"Several stacks replicate the mapping {mapping}: {_join(found.stack for found in fitting)}. "
            "Name one with --stack."
        )
    raise WrongUseError(f"No stack replicates the mapping {mapping!r}. {_name_deployed(deployments)}")


def choose_only(deployments: Sequence[Deployment]) -> Deployment:
    """Return the one deployment there is. Raises WrongUseError where there is none, or more than one."""
    require_any(deployments)
    if len(deployments) > 1:
        raise WrongUseError(f"Several stacks are deployed: {_name_stacks(deployments)}. Name one with --stack.")
    return deployments[0]


def require_any(deployments: Sequence[Deployment]) -> None:
    """Raise WrongUseError where nothing is deployed."""
    if not deployments:
        raise WrongUseError(_name_deployed(deployments))


def _name_deployed(deployments: Sequence[Deployment]) -> str:
    deploy = "`sam deploy --parameter-overrides Mapping=… …` from infra/"
    if not deployments:
        local = name_command("local", "up")
        return (
            f"Nothing is deployed in this account and region. Deploy with {deploy}, or on this machine with `{local}`."
        )
    return f"Deployed: {_name_stacks(deployments)}. Choose one of these, or deploy another with {deploy}."


def _name_stacks(deployments: Sequence[Deployment]) -> str:
    return _join(f"{found.mapping} (stack {found.stack})" for found in deployments)


def _join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
