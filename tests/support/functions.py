"""What the functions are given by Lambda, and what they leave in its log."""

import json
from dataclasses import dataclass

ENVIRONMENT = {
    "MAPPING": "web_analytics",
    "DELIVERY_STREAM": "dynaurora-changes",
    "LANDING_BUCKET": "dynaurora-landing",
    "TTL_DELETES": "replicate",
    "DATABASE_HOST": "db.example",
    "DATABASE_PORT": "3306",
    "DATABASE_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:loader",
    "DATABASE_ADMIN_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:admin",
    "DATABASE_CA": "",
    "IMPORT_CONCURRENCY": "5",
    "BACKFILL_CONCURRENCY": "2",
    "IMPORT_BATCH_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:dynaurora-import-batch",
    "PLATFORM": "dynaurora",
    "CONVERT_MEMORY_MB": "1769",
    "IMPORT_MEMORY_MB": "256",
    "NOTICE_INTERVAL_SECONDS": "3600",
    "MAX_ATTEMPTS": "5",
    "PURGE_AFTER_DAYS": "90",
    "BATCH_RETENTION_DAYS": "30",
    "COMPARE_ROWS_FUNCTION": "dynaurora-compare-rows",
    "SETTLE_SECONDS": "180",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


@dataclass(frozen=True)
class Context:
    """What Lambda tells a function about its invocation."""

    function_name: str = "dynaurora-function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:dynaurora-function"
    aws_request_id: str = "8f507cfc-0001-4d1a-9d0c-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""
        return 300_000


IDS = {
    "open_run": {"run"},
    "check_readiness": {"run"},
    "plan_backfill": {"run"},
    "convert_export": {"run", "planned", "batch"},
    "reconcile_run": {"run"},
    "plan_sweep": {"run"},
    "report_run": {"run"},
    "close_run": {"run"},
    "describe_runs": {"run"},
    "list_failures": {"run"},
    "convert_failures": {"run", "entry", "batch"},
    "settle_failures": {"run", "entry", "batch"},
    "import_batch": {"batch"},
    "record_failed_batch": {"batch"},
    "prepare_target": set(),
    "register_replication": set(),
    "rotate_loader_secret": set(),
    "change_mapping": set(),
    "check_target": set(),
    "compare_rows": {"run"},
    "judge_differences": {"run"},
    "purge_replicas": set(),
    "find_unimported": set(),
    "forward_changes": set(),
    "transform_changes": set(),
    "measure_health": set(),
}
"""What the lines of each function are to be found by, besides the mapping: the stream has no batch until Firehose has
written one, and its batches have no run."""


def check_ids(function, lines):
    """Assert that each line that a function logged carries the ids of what it worked on."""
    for line in lines:
        assert line["mapping"] == ENVIRONMENT["MAPPING"]
        assert line.keys() >= IDS[function], line


def metrics_of(capsys, *, of_all=False):
    """Return the metrics that a function put into its log, by name, with the mapping they are of.

    Either those of a mapping, or of a platform, or those of all replications of a bucket together.
    """
    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    embedded = [line for line in logged if "_aws" in line and ("bucket" in line) == of_all]
    names = [metric["Name"] for line in embedded for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    return {name: line[name] for line in embedded for name in names if name in line}, embedded
