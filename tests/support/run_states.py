"""States of runs, as the state machines hand them to the functions that end them."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dynaurora
from dynaurora.aws.executions import Step
from dynaurora.errors import remedy_for
from dynaurora.runs.report_backfill import Memory
from tests.support.factories import make_plan, make_totals, run_request

BUCKET = "landing"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:dynaurora-backfill-table:web_analytics-r1"
MEMORY = Memory(convert_mb=1769, import_mb=256)
STARTED = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
PACKAGE = Path(dynaurora.__file__).parent
MACHINES = ("backfill_table", "reprocess_failures")
STATES = {
    name: json.loads((PACKAGE.parent / f"statemachines/{name}.asl.json").read_text())["States"] for name in MACHINES
}


def steps(*names, seconds=10):
    """Return these states, entered one after the other, each so many seconds after the one before."""
    return [Step(name, STARTED + timedelta(seconds=seconds * number)) for number, name in enumerate(names)]


def caught(error, message="It happened."):
    """Return what a Catch records of one of our errors."""
    cause = {"errorMessage": f"{message} {remedy_for(error)}", "errorType": error, "stackTrace": []}
    return {"Error": error, "Cause": json.dumps(cause)}


OPENED = run_request().as_dict() | {"digest": "0123456789abcdef" * 4, "generation": 1}
PLANNED = OPENED | {"plan": asdict(make_plan())}
RECONCILED = PLANNED | {"totals": asdict(make_totals())}
