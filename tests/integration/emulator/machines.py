"""State machines on the local emulator, and short ways to run and look at them."""

import json
import uuid


class Machine:
    """A state machine of the given states."""

    def __init__(self, emulator, states, start="Task", role="arn:aws:iam::000000000000:role/anything", **definition):
        self.emulator = emulator
        self.sfn = emulator.client("stepfunctions")
        self.name = f"machine-{uuid.uuid4().hex[:12]}"
        self.arn = self.sfn.create_state_machine(
            name=self.name,
            roleArn=role,
            definition=json.dumps({"StartAt": start, "States": states, **definition}),
        )["stateMachineArn"]

    def start(self, value=None):
        text = json.dumps(value or {}, ensure_ascii=False)
        return self.sfn.start_execution(stateMachineArn=self.arn, input=text)["executionArn"]

    def run(self, value=None):
        return self.finish(self.start(value))

    def finish(self, execution):
        return self.emulator.wait_until(lambda: self.finished(execution))

    def finished(self, execution):
        description = self.sfn.describe_execution(executionArn=execution)
        return description if description["status"] != "RUNNING" else None

    def events(self, execution):
        """The types of an execution's events, in order."""
        pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event["type"] for page in pages for event in page["events"]]

    def map_run(self, execution):
        """The description of an execution's Map Run; None while there is none."""
        runs = self.sfn.list_map_runs(executionArn=execution)["mapRuns"]
        return self.sfn.describe_map_run(mapRunArn=runs[-1]["mapRunArn"]) if runs else None

    def children(self, map_run):
        """A Map Run's children, described."""
        pages = self.sfn.get_paginator("list_executions").paginate(mapRunArn=map_run["mapRunArn"])
        arns = [child["executionArn"] for page in pages for child in page["executions"]]
        return [self.sfn.describe_execution(executionArn=arn) for arn in arns]


def make_task(emulator, function, **fields):
    """A state that invokes a function with its input."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": emulator.function_arn(function), "Payload.$": "$"},
        "End": True,
        **fields,
    }
