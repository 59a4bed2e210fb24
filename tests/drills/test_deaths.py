"""Functions that are killed at every step of their work."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from dynaurora import keys
from dynaurora.target.check_target import EQUALITY
from tests.drills.drill import Drill
from tests.integration.backfill.deployed import (
    EXPORTS_BUCKET,
    MAPPING,
    Document,
    make_bad_item,
    make_item,
    make_run_id,
)

ANSWER = "answer"
"""The last step: the work is done, and the answer lost."""


def test_each_function_is_killed_at_every_step(drill: Drill) -> None:
    """Twice in a row, which is as often as each is tried again; in the short drill once, at the last step only."""
    functions = {function for _, found in PHASES for function in found}
    last = [ANSWER] * drill.size(1, 2)
    assert play(drill, functions, last) == dict.fromkeys(functions, last)
    step, going_on = 1, functions if drill.is_long else set()
    while going_on:
        died = play(drill, going_on, [str(step), str(step + 1)])
        going_on = {function for function, steps in died.items() if str(step + 1) in steps}
        step += 2
    killed = {function: len(read_deaths(drill, function)) for function in functions}
    deaths = ", ".join(f"{function} {count}" for function, count in sorted(killed.items()))
    drill.tell(f"functions were killed {sum(killed.values())} times: {deaths}")


def play(drill: Drill, functions: set[str], steps: list[str]) -> dict[str, list[str]]:
    """Have functions work, and die at these steps; return at which of them each did."""
    before = {function: len(read_deaths(drill, function)) for function in functions}
    for work, found in PHASES:
        wanted = functions.intersection(found)
        if wanted:
            work(drill, f"{drill.name}-{steps[0]}", lambda wanted=wanted: dying(drill, wanted, steps))
            drill.check_equal()
            drill.check_nothing_failed()
    return {function: read_deaths(drill, function)[count:] for function, count in before.items()}


@contextmanager
def dying(drill: Drill, functions: set[str], steps: list[str]) -> Iterator[None]:
    """Have the next invocations of each function die, one at each of these steps."""
    files = [find_deaths(drill, function) for function in functions]
    for file in files:
        file.write_text("".join(f"{step}\n" for step in steps))
    try:
        yield
    finally:
        for file in files:
            file.unlink()


def read_deaths(drill: Drill, function: str) -> list[str]:
    """At which steps a function has died so far."""
    file = find_deaths(drill, function).with_suffix(".died")
    return file.read_text().splitlines() if file.exists() else []


def find_deaths(drill: Drill, function: str) -> Path:
    """Return the file that says when a function dies."""
    return drill.deaths / drill.deployed.outputs[f"{function}FunctionName"]


Dying = Callable[[], AbstractContextManager[None]]


def stream(drill: Drill, name: str, dying: Dying) -> None:
    """Change items, all of which arrive."""
    with dying():
        drill.deployed.put([make_item(f"{name}-{number}") for number in range(5)])
        drill.check_equal()


def fail(drill: Drill, name: str, dying: Dying) -> None:
    """Import a batch whose object is not there, and nobody misses it."""
    item = {"bucket": drill.deployed.bucket, "key": f"processed/mapping={MAPPING}/{name}", "etag": "e", "size": 1}
    batch = {"mapping": MAPPING, "source": "stream", "run": None, "rows": None, "objects": [item]}
    states, arn = drill.deployed.client("stepfunctions"), drill.deployed.outputs["ImportBatchStateMachineArn"]
    with dying():
        started = states.start_execution(stateMachineArn=arn, input=json.dumps({"batch": batch}))
        assert drill.deployed.wait_for_end(started["executionArn"])["error"] == "ObjectMissingError"
    (failed_key,) = drill.list_failed_batches()
    drill.deployed.client("s3").delete_object(Bucket=drill.deployed.bucket, Key=failed_key)


def backfill(drill: Drill, name: str, dying: Dying) -> None:
    """Backfill the table, and sweep it."""
    drill.deployed.put([make_item(f"{name}-{number}") for number in range(2)])
    with dying():
        assert drill.deployed.backfill(make_run_id(), "--sweep")["state"] == "SUCCEEDED"


def reprocess(drill: Drill, name: str, dying: Dying) -> None:
    """Take up a record that was refused and is mended."""
    drill.deployed.put([make_bad_item(name)])
    (key,) = drill.wait_until(lambda: drill.deployed.list_keys(keys.failed_records_prefix(MAPPING)))
    drill.deployed.put([make_item(name, 2)])
    drill.reprocesses.correct(key, make_item(name))
    with dying():
        assert drill.reprocess()["batches_failed"] == 0


def rotate(drill: Drill, _name: str, dying: Dying) -> None:
    """Give the loader another password, by as many attempts as it takes."""
    secrets, secret = drill.deployed.client("secretsmanager"), {"SecretId": drill.deployed.outputs["DatabaseSecretArn"]}
    with dying():
        version = secrets.rotate_secret(**secret)["VersionId"]
        drill.wait_until(lambda: secrets.get_secret_value(**secret)["VersionId"] == version)
        drill.wait_until(lambda: secrets.describe_secret(**secret)["VersionIdsToStages"][version] == ["AWSCURRENT"])


def ask(drill: Drill, name: str, dying: Dying) -> None:
    """Ask what answers to people, to a clock or to a deployment, and again for as long as no answer comes."""
    answered = f"answers/{name}.json"
    with dying():
        prepare_target(drill, name, answered)
        asked = {"mapping": MAPPING}
        findings = invoke(drill, "CheckTarget", asked)["findings"]
        assert {found["check"] for found in findings if found["state"] != "yes"} <= {EQUALITY}, "nothing was verified"
        assert invoke(drill, "DescribeRuns", asked)["runs"]
        assert invoke(drill, "MeasureHealth", {})["replications"][MAPPING]["failures_kept"] == 0
    answer = drill.deployed.client("s3").get_object(Bucket=EXPORTS_BUCKET, Key=answered)["Body"].read()
    assert json.loads(answer)["Status"] == "SUCCESS"


def prepare_target(drill: Drill, name: str, answered: str) -> None:
    """Prepare the target as an update of the stack does, which is told of it under a key."""
    request = {
        **dict.fromkeys(("StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId"), name),
        "RequestType": "Update",
        "ResourceProperties": {"Mapping": MAPPING, "MappingDigest": drill.deployed.mapping.digest},
        "ResponseURL": drill.deployed.client("s3").generate_presigned_url(
            "put_object", Params={"Bucket": EXPORTS_BUCKET, "Key": answered}
        ),
    }
    assert invoke(drill, "PrepareTarget", request) == {"request": "Update", "done": True}


def invoke(drill: Drill, function: str, event: Document) -> Any:
    """Return what a function answers in the end."""
    name = drill.deployed.outputs[f"{function}FunctionName"]

    def look() -> tuple[Any] | None:
        answer = drill.deployed.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        return None if "FunctionError" in answer else (json.loads(answer["Payload"].read()),)

    return drill.wait_until(look)[0]


PHASES: tuple[tuple[Callable[[Drill, str, Dying], None], tuple[str, ...]], ...] = (
    (stream, ("ForwardChanges", "TransformChanges", "ImportBatch")),
    (fail, ("RecordFailedBatch",)),
    (
        backfill,
        (
            *("OpenRun", "CheckReadiness", "PlanBackfill", "ConvertExport"),
            *("ReconcileRun", "PlanSweep", "ReportRun", "CloseRun"),
        ),
    ),
    (rotate, ("RotateLoaderSecret",)),
    (reprocess, ("ListFailures", "ConvertFailures", "SettleFailures")),
    (ask, ("PrepareTarget", "CheckTarget", "DescribeRuns", "MeasureHealth")),
)
"""What has the functions work, each of them in one phase."""
