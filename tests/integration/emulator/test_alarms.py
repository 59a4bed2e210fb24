"""CloudWatch: alarms of templates, judged period by period, and metrics that functions log."""

import json
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.integration

PERIOD = 60


@pytest.fixture
def cloudwatch(emulator):
    return emulator.client("cloudwatch")


@pytest.fixture
def namespace():
    return f"test-{uuid.uuid4().hex[:8]}"


class Alarm:
    """An alarm of a stack of its own, and the values that it is to see."""

    def __init__(self, emulator, namespace, **properties):
        self.emulator = emulator
        self.namespace = namespace
        self.name = f"alarm-{uuid.uuid4().hex[:8]}"
        resource = {"AlarmName": self.name, **properties}
        resource = {name: value for name, value in resource.items() if value is not None}
        template = {"Resources": {"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": resource}}}
        stacks = emulator.client("cloudformation")
        stacks.create_stack(StackName=self.name, TemplateBody=json.dumps(template))
        self.status = (
            emulator.wait_until(lambda: self.describe_stack()["StackStatus"] != "CREATE_IN_PROGRESS")
            and (self.describe_stack()["StackStatus"])
        )

    def describe_stack(self):
        (stack,) = self.emulator.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return stack

    def put(self, metric, *values, **dimensions):
        """Put a value into each of the last periods, the newest last; None puts none."""
        now = datetime.now(UTC)
        data = [
            {
                "MetricName": metric,
                "Value": value,
                "Timestamp": now - timedelta(seconds=age * PERIOD + PERIOD / 2),
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            }
            for age, value in enumerate(reversed(values))
            if value is not None
        ]
        self.emulator.client("cloudwatch").put_metric_data(Namespace=self.namespace, MetricData=data)

    @property
    def described(self):
        (alarm,) = self.emulator.client("cloudwatch").describe_alarms(AlarmNames=[self.name])["MetricAlarms"]
        return alarm

    @property
    def state(self):
        return self.described["StateValue"]


@pytest.fixture
def make_alarm(emulator, namespace):
    def make(**properties):
        standard = {
            "Namespace": namespace,
            "MetricName": "Errors",
            "Statistic": "Sum",
            "Period": PERIOD,
            "EvaluationPeriods": 3,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
        return Alarm(emulator, namespace, **(standard | properties))

    return make


def make_math(namespace, expression, *metrics):
    """Return properties of an alarm on an expression of sums."""
    stats = [
        {
            "Id": metric.lower(),
            "ReturnData": "false",
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": metric},
                "Period": str(PERIOD),
                "Stat": "Sum",
            },
        }
        for metric in metrics
    ]
    single = dict.fromkeys(("Namespace", "MetricName", "Statistic", "Period"))
    return {**single, "Metrics": [{"Id": "looked_at", "Expression": expression}, *stats]}


@pytest.mark.parametrize(
    ("values", "state"),
    [((2, 2, 2), "ALARM"), ((2, 1, 2), "OK"), ((None, 2, 2), "OK"), ((2, 2, 2, 0, 0, 0), "OK"), ((), "OK")],
)
def test_each_period_is_judged_by_itself(make_alarm, values, state):
    alarm = make_alarm()
    alarm.put("Errors", *values)
    assert alarm.state == state


def test_some_of_the_periods_may_be_enough(make_alarm):
    alarm = make_alarm(DatapointsToAlarm=2)
    alarm.put("Errors", 0, 2, 2)
    assert alarm.state == "ALARM"


@pytest.mark.parametrize(
    ("treatment", "state"),
    [("notBreaching", "OK"), ("breaching", "ALARM"), ("missing", "INSUFFICIENT_DATA"), ("ignore", "INSUFFICIENT_DATA")],
)
def test_periods_without_data_count_as_the_alarm_says(make_alarm, treatment, state):
    assert make_alarm(TreatMissingData=treatment).state == state


def test_an_alarm_that_ignores_missing_data_stays_as_it_is(make_alarm, emulator):
    alarm = make_alarm(TreatMissingData="ignore")
    emulator.client("cloudwatch").set_alarm_state(AlarmName=alarm.name, StateValue="ALARM", StateReason="test")
    assert alarm.state == "ALARM"


def test_values_in_a_period_make_one_statistic(make_alarm):
    alarm = make_alarm(EvaluationPeriods=1, Statistic="Maximum", Threshold=5)
    alarm.put("Errors", 4)
    alarm.put("Errors", 4)
    assert alarm.state == "OK"
    alarm.put("Errors", 6)
    assert alarm.state == "ALARM"


def test_other_dimensions_are_another_metric(make_alarm):
    alarm = make_alarm(Dimensions=[{"Name": "mapping", "Value": "a"}])
    alarm.put("Errors", 2, 2, 2, mapping="b")
    alarm.put("Errors", 2, 2, 2, mapping="a", service="s")
    assert alarm.state == "OK"
    alarm.put("Errors", 2, 2, 2, mapping="a")
    assert alarm.state == "ALARM"


def test_an_alarm_looks_at_an_expression(make_alarm, namespace):
    missing_imports = "IF(FILL(forwarded, 0) > 0 AND FILL(imported, 0) == 0, 1, 0)"
    math = make_math(namespace, missing_imports, "Forwarded", "Imported")
    alarm = make_alarm(**math, Threshold=0)
    assert alarm.status == "CREATE_COMPLETE"
    assert [query["Id"] for query in alarm.described["Metrics"]] == ["looked_at", "forwarded", "imported"]
    alarm.put("Forwarded", 9, 9, 9)
    assert alarm.state == "ALARM"
    alarm.put("Imported", None, 1, None)
    assert alarm.state == "OK"


@pytest.mark.parametrize("expression", ["RUNNING_SUM(errors)", "errors >", "unknown + 1"])
def test_an_expression_that_would_never_ring_fails_its_stack(make_alarm, namespace, expression):
    alarm = make_alarm(**make_math(namespace, expression, "Errors"))
    assert "ROLLBACK" in alarm.status


def test_people_are_told_of_a_change_of_state(make_alarm, emulator):
    sqs, sns = emulator.client("sqs"), emulator.client("sns")
    queue = sqs.create_queue(QueueName=f"told-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    (queue_arn,) = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"].values()
    topic = sns.create_topic(Name=f"topic-{uuid.uuid4().hex[:8]}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    alarm = make_alarm(AlarmActions=[topic])
    alarm.put("Errors", 2, 2, 2)
    alarm.put("Errors", 2)
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2)["Messages"]
    (told,) = (json.loads(json.loads(message["Body"])["Message"]) for message in received)
    assert (told["AlarmName"], told["NewStateValue"]) == (alarm.name, "ALARM")
    assert "3 of 3 datapoints (2, 2, 2)" in told["NewStateReason"]


LOGS_METRICS = """
    import json, time

    def handler(event, context):
        directive = {
            "Namespace": event["namespace"],
            "Dimensions": [["mapping", "service"], []],
            "Metrics": [{"Name": "Rows", "Unit": "Count"}, {"Name": "Lag", "Unit": "Seconds"}],
        }
        line = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}}
        print(json.dumps(line | {"mapping": "m", "service": "s", "Rows": [2, 3], "Lag": 1.5}))
        print(json.dumps({"_aws": "no metrics"}))
        print('{"_aws": cut off')
"""


def test_a_metric_that_a_function_logs_is_one(emulator, cloudwatch, namespace):
    emulator.invoke(emulator.create_function(LOGS_METRICS), {"namespace": namespace})

    def read(metric, statistic, **dimensions):
        answer = cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=time.time() - 300,
            EndTime=time.time() + 60,
            Period=3600,
            Statistics=[statistic],
        )
        return [point[statistic] for point in answer["Datapoints"]]

    assert emulator.wait_until(lambda: read("Rows", "Sum", mapping="m", service="s")) == [5.0]
    assert read("Rows", "SampleCount", mapping="m", service="s") == [2.0]
    assert read("Lag", "Maximum", mapping="m", service="s") == [1.5]
    assert read("Rows", "Sum", mapping="m") == []
