"""What CloudFormation makes of the templates with given parameters, as far as names and conditions go.

A `Stack` evaluates its template's rules and conditions and resolves every value, those of nested stacks through their
outputs, and raises where one names what is not there under these parameters: that would fail, or not even be noticed
before it fails, in a deployment.
"""

import re
from functools import cached_property
from typing import Any

from tests.infrastructure.deployment import ROOT, read_template

NESTED = "AWS::CloudFormation::Stack"
NO_VALUE = {"Ref": "AWS::NoValue"}
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::NoValue": "",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/clicks/5a3f1c70-0001-11f0-8d6a-0a1b2c3d4e5f",
    "AWS::StackName": "clicks",
    "AWS::URLSuffix": "amazonaws.com",
}
REFS = {
    "AWS::EC2::SecurityGroup": "sg-0123456789abcdef0",
    "AWS::EC2::Subnet": "subnet-0123456789abcdef0",
    "AWS::EC2::VPC": "vpc-0123456789abcdef0",
    "AWS::S3::Bucket": "clicks-landing",
    "AWS::SNS::Topic": "arn:aws:sns:eu-west-1:123456789012:clicks-failures",
    "AWS::Serverless::StateMachine": "arn:aws:states:eu-west-1:123456789012:stateMachine:clicks",
}
"""What a resource's Ref looks like, where parameters of other templates check it."""
ATTRIBUTES = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:eu-west-1:123456789012:table/clicks/stream/2026-11-24T08:15:00.000",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/clicks",
    "AWS::KMS::Key": "arn:aws:kms:eu-west-1:123456789012:key/0f1e",
    "AWS::RDS::DBCluster": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!cluster-0f1e",
    "AWS::SecretsManager::Secret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:loader-0f1e",
    "AWS::SQS::Queue": "arn:aws:sqs:eu-west-1:123456789012:clicks",
    "AWS::Serverless::Function": "arn:aws:lambda:eu-west-1:123456789012:function:clicks",
    ("AWS::RDS::DBCluster", "Endpoint.Address"): "clicks.cluster-0f1e.eu-west-1.rds.amazonaws.com",
    ("AWS::RDS::DBCluster", "Endpoint.Port"): "3306",
}


class DanglingError(Exception):
    """A value names what is not there, or what needs it itself."""


class RefusedError(Exception):
    """A rule of the template, or the bounds of one of its parameters, refuse what it is given."""


class Stack:
    """One template, deployed with parameters."""

    def __init__(
        self, template: str = ROOT, given: dict[str, Any] | None = None, parent: "Stack | None" = None
    ) -> None:
        self.name = template
        self.template = read_template(template)
        self.parent = parent
        """Whose values the given ones are made of; None where they are values."""
        self._given = given or {}
        self._values: dict[str, Any] = {}
        self._nested: dict[str, Stack] = {}
        unknown = self._given.keys() - self.template["Parameters"].keys()
        assert not unknown, f"{template} has no parameters {unknown}"

    # What there is

    @cached_property
    def resources(self) -> dict[str, Any]:
        """The resources that are created."""
        return {name: body for name, body in self.template["Resources"].items() if self.holds(body.get("Condition"))}

    @cached_property
    def outputs(self) -> dict[str, Any]:
        return {name: body for name, body in self.template["Outputs"].items() if self.holds(body.get("Condition"))}

    def nested(self, name: str) -> "Stack":
        if name not in self._nested:
            properties = self.resources[name]["Properties"]
            template = properties["TemplateURL"].removesuffix(".yaml")
            self._nested[name] = Stack(template, properties["Parameters"], self)
        return self._nested[name]

    def holds(self, condition: str | None) -> bool:
        return condition is None or bool(self.resolve(self.template["Conditions"][condition]))

    # Checks

    def check(self) -> None:
        """Resolve everything, in this stack and those below it. Raises RefusedError or DanglingError."""
        self.check_rules()
        for name in self.template["Parameters"]:
            self.check_bounds(name)
        for name, body in self.resources.items():
            for needed in as_list(body.get("DependsOn", [])):
                self.find(needed, f"DependsOn of {name}")
            self.resolve(body.get("Properties", {}))
            if body["Type"] == NESTED:
                self.nested(name).check()
        for output in self.outputs.values():
            assert self.resolve(output["Value"]) != "", "an output has a value or is not there"

    def check_rules(self) -> None:
        for rule in self.template.get("Rules", {}).values():
            if self.resolve(rule.get("RuleCondition", True)):
                for assertion in rule["Assertions"]:
                    if not self.resolve(assertion["Assert"]):
                        raise RefusedError(assertion["AssertDescription"])

    def check_bounds(self, name: str) -> None:
        definition, value = self.template["Parameters"][name], self.parameter(name)
        pattern, choices = definition.get("AllowedPattern"), definition.get("AllowedValues")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise RefusedError(f"{self.name}.{name} is {value!r}, and it takes {pattern}")
        if choices is not None and str(value) not in map(str, choices):
            raise RefusedError(f"{self.name}.{name} is {value!r}, and it takes {choices}")

    # Values

    def parameter(self, name: str) -> Any:
        if name not in self._values:
            definition = self.template["Parameters"][name]
            if name in self._given:
                given = self._given[name]
                value = self.parent.resolve(given) if self.parent else given
            else:
                value = definition["Default"]
            if definition["Type"] == "CommaDelimitedList":
                value = value if isinstance(value, list) else [part for part in str(value).split(",") if part]
            self._values[name] = value if isinstance(value, list) else str(value)
        return self._values[name]

    def find(self, name: str, where: str) -> dict[str, Any]:
        """The resource of this name. Raises DanglingError where it is not created."""
        if name not in self.resources:
            raise DanglingError(f"{self.name}: {where} names {name}, which is not created")
        return dict(self.resources[name])

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.resolve(item) for item in value if item != NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, argument),) = value.items()
            if key == "Ref" or key == "Condition" or key.startswith("Fn::"):
                try:
                    return getattr(self, f"_{key.removeprefix('Fn::').lower()}")(argument)
                except RecursionError:
                    raise DanglingError(f"{self.name}: {value} needs itself") from None
        return {key: self.resolve(item) for key, item in value.items()}

    def _ref(self, name: str) -> Any:
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.template["Parameters"]:
            return self.parameter(name)
        # SAM makes the version of a function that publishes an alias.
        function, _, made = name.partition(".")
        resource = self.find(function, "Ref")
        assert not made or "AutoPublishAlias" in resource["Properties"]
        return REFS.get(resource["Type"], name)

    def _getatt(self, argument: Any) -> Any:
        name, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
        resource = self.find(name, "Fn::GetAtt")
        if resource["Type"] != NESTED:
            kind = resource["Type"]
            return ATTRIBUTES.get((kind, attribute)) or ATTRIBUTES.get(kind) or f"{name}.{attribute}"
        nested, output = self.nested(name), attribute.removeprefix("Outputs.")
        if output not in nested.outputs:
            raise DanglingError(f"{self.name} reads {output} of {name}, which has no such output")
        return nested.resolve(nested.outputs[output]["Value"])

    def _sub(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        own = {name: self.resolve(value) for name, value in own.items()}

        def replace(found: re.Match[str]) -> str:
            name = found[1]
            if name in own:
                return str(own[name])
            return str(self._getatt(name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([\w.:]+)\}", replace, text)

    def _if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self.resolve(then if self.holds(condition) else otherwise)

    def _condition(self, name: str) -> bool:
        return self.holds(name)

    def _equals(self, argument: list[Any]) -> bool:
        left, right = (self.resolve(side) for side in argument)
        return str(left) == str(right)

    def _not(self, argument: list[Any]) -> bool:
        return not self.resolve(argument[0])

    def _and(self, argument: list[Any]) -> bool:
        return all(self.resolve(part) for part in argument)

    def _or(self, argument: list[Any]) -> bool:
        return any(self.resolve(part) for part in argument)

    def _join(self, argument: list[Any]) -> str:
        return str(argument[0]).join(map(str, self.resolve(argument[1])))

    def _split(self, argument: list[Any]) -> list[str]:
        return str(self.resolve(argument[1])).split(argument[0])

    def _select(self, argument: list[Any]) -> Any:
        return self.resolve(argument[1])[int(argument[0])]

    def _cidr(self, argument: list[Any]) -> list[str]:
        return [f"{self.resolve(argument[0])} part {number}" for number in range(int(argument[1]))]

    def _getazs(self, _: Any) -> list[str]:
        return ["eu-west-1a", "eu-west-1b", "eu-west-1c"]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
