"""Step Functions: what a distributed Map state's ResultWriter puts into S3.

``<Prefix>/<Map Run's UUID>/manifest.json`` names the other files and their sizes: ``SUCCEEDED_0.json``,
``FAILED_0.json`` (failed, timed out and aborted children) and ``PENDING_0.json`` (items that no child was started for,
because the Map Run failed or was aborted). Each is a JSON array of executions; a file that would be empty is left out.
The state's result is ``{"MapRunArn", "ResultWriterDetails": {"Bucket", "Key"}}`` instead of the children's outputs.
A failed Map Run has its results written too.

Source: Step Functions developer guide, "ResultWriter (Map)". The content of PENDING_0.json is inferred: input and
status. Not supported: WriterConfig, whose default (NONE, JSON) this is; a file beyond 5 GB is not split.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ministack.services import stepfunctions

from local.emulator import executions
from local.emulator.executions import Execution
from local.emulator.objects import ObjectNotWrittenError, put_object

RESOURCE = "arn:aws:states:::s3:putObject"
DEFAULT_CONFIGURATION = {"Transformation": "NONE", "OutputType": "JSON"}


@dataclass(frozen=True)
class ResultWriter:
    """Where the results of one Map Run go."""

    bucket: str
    prefix: str

    def describe(self, map_run_arn: str, map_run_id: str) -> dict[str, Any]:
        """Return the result of the Map state."""
        details = {"Bucket": self.bucket, "Key": self._key(map_run_id, "manifest.json")}
        return {"MapRunArn": map_run_arn, "ResultWriterDetails": details}

    def write(self, map_run_arn: str, map_run_id: str, children: list[Execution], pending: list[Any]) -> int:
        """Write all files; of how many children. Raises States.ResultWriterFailed."""
        results: dict[str, list[dict[str, Any]]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
        for child in children:
            status = "SUCCEEDED" if child["status"] == "SUCCEEDED" else "FAILED"
            results[status].append(executions.describe(child, _write_time))
        results["PENDING"] = [_describe_pending(child_input) for child_input in pending]
        try:
            files = {status: self._write_file(map_run_id, status, found) for status, found in results.items()}
            manifest = {"DestinationBucket": self.bucket, "MapRunArn": map_run_arn, "ResultFiles": files}
            put_object(self.bucket, self._key(map_run_id, "manifest.json"), json.dumps(manifest).encode())
        except ObjectNotWrittenError as error:
            raise stepfunctions._ExecutionError("States.ResultWriterFailed", str(error)) from error
        return len(children)

    def _write_file(self, map_run_id: str, status: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not found:
            return []
        key, content = self._key(map_run_id, f"{status}_0.json"), json.dumps(found, ensure_ascii=False).encode()
        put_object(self.bucket, key, content)
        return [{"Key": key, "Size": len(content)}]

    def _key(self, map_run_id: str, name: str) -> str:
        folder = f"{self.prefix.rstrip('/')}/" if self.prefix else ""
        return f"{folder}{map_run_id}/{name}"


def read_writer(state_def: dict[str, Any], effective: Any, ctx: dict[str, Any]) -> ResultWriter | None:
    """Return a state's ResultWriter, if it has one. Raises States.Runtime for settings that are not supported."""
    definition = state_def.get("ResultWriter")
    if not definition:
        return None
    configuration = DEFAULT_CONFIGURATION | (definition.get("WriterConfig") or {})
    if definition.get("Resource") != RESOURCE or configuration != DEFAULT_CONFIGURATION:
        raise stepfunctions._ExecutionError(
            "States.Runtime", f"The local ResultWriter only writes to {RESOURCE}, with {DEFAULT_CONFIGURATION}."
        )
    parameters = stepfunctions._resolve_params_obj(definition.get("Parameters") or {}, effective, ctx)
    return ResultWriter(parameters["Bucket"], parameters.get("Prefix") or "")


def _describe_pending(child_input: Any) -> dict[str, Any]:
    return {"Input": json.dumps(child_input), "InputDetails": {"Included": True}, "Status": "PENDING"}


def _write_time(moment: str) -> str:
    return datetime.fromisoformat(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")
