"""Lambda: which processes run a function's environments, for who wants to end one: ``GET /_dynaurora/functions``.

The answer is a JSON object: by a function's name, the ids of its processes, those that wait for an invocation too.
"""

from typing import Any

from ministack import app
from ministack.core import lambda_runtime as emulator_runtime
from ministack.core import responses

from local.emulator.replacements import Replacements

PATH = "/_dynaurora/functions"


def install(emulator: Replacements) -> None:
    """Plan the replacement that adds the endpoint."""
    emulator.wrap(app.__name__, "_handle_admin_config_request", "(path: str, method: str, body: bytes)", _add_endpoint)


def list_processes() -> dict[str, list[int]]:
    """Return the ids of the processes of each function."""
    found: dict[str, list[int]] = {}
    with emulator_runtime._lock:
        for pool in emulator_runtime._workers.values():
            for environment in pool:
                if (process := environment._proc) is not None and process.poll() is None:
                    found.setdefault(environment.func_name, []).append(process.pid)
    return found


def _add_endpoint(original: Any) -> Any:
    async def handle(path: str, method: str, body: bytes) -> Any:
        if path != PATH:
            return await original(path, method, body)
        return responses.json_response(list_processes())

    return handle
