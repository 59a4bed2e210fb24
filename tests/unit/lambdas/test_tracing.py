"""The traces of a function, as X-Ray's own SDK sends them to the daemon that Lambda runs beside a function."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.functions import ENVIRONMENT
from tests.support.waiting import PATIENCE_SECONDS

PROJECT = Path(__file__).resolve().parents[3]
TRACE = "1-5759e988-bd862e3fe1be46a994272793"
INVOKE = """
from unittest.mock import patch
from dynaurora.runs.requests import ReprocessOptions, ReprocessRequest
from dynaurora import keys
from dynaurora.mappings.replications import Replication
from lambdas import list_failures
from tests.support.fakes import InMemoryObjects
from tests.support.functions import Context

state = ReprocessRequest("web_analytics", "r1", ReprocessOptions(None, False, 2)).as_dict()
store = InMemoryObjects()
table = "arn:aws:dynamodb:us-east-1:123456789012:table/web_analytics"
replication = Replication("web_analytics", "clicks", table, ("14e0db71",), "replicate")
store.write("dynaurora-landing", keys.replication("web_analytics"), replication.encode())
with patch.object(list_failures, "S3Objects", lambda: store):
    list_failures.lambda_handler({"input": state}, Context())
"""


@pytest.fixture
def daemon():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(PATIENCE_SECONDS)
        yield listener


def test_a_trace_is_found_by_mapping_and_run(daemon):
    environment = {
        **ENVIRONMENT,
        "PATH": os.environ["PATH"],
        "LAMBDA_TASK_ROOT": "/var/task",
        "POWERTOOLS_SERVICE_NAME": "list_failures",
        "_X_AMZN_TRACE_ID": f"Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=1",
        "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
    }
    subprocess.run([sys.executable, "-c", INVOKE], env=environment, cwd=PROJECT, check=True, capture_output=True)
    header, _, document = daemon.recv(65535).partition(b"\n")
    segment = json.loads(document)
    assert json.loads(header) == {"format": "json", "version": 1}
    assert (segment["trace_id"], segment["name"]) == (TRACE, "## lambda_handler")
    found_by = {name: segment["annotations"].get(name) for name in ("mapping", "run")}
    assert found_by == {"mapping": "web_analytics", "run": "r1"}
    assert "metadata" not in segment, "what a function answers is no business of its trace"
