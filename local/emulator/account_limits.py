"""Lambda: the account's limit of concurrent executions, and what may be reserved of it.

DYNAURORA_LAMBDA_CONCURRENCY is the limit, 1000 unless set; new accounts have 10 or 50. Of it Lambda keeps 100, or all
where it is less, for functions that reserve nothing, and refuses a reservation that would leave them fewer (AWS Lambda
Developer Guide, "Configuring reserved concurrency"; the words are those of many accounts' failed deployments).
"""

import json
import os
from typing import Any

from ministack.core import responses
from ministack.services import lambda_svc

from local.emulator.replacements import Replacements
from local.emulator.values import read_int

DEFAULT_LIMIT = 1000
UNRESERVED = 100


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour. Raises ValueError where the limit is no number."""
    limit = read_int(os.environ.get("DYNAURORA_LAMBDA_CONCURRENCY"), DEFAULT_LIMIT)
    signature = "(func_name: str, data: dict)"
    emulator.wrap(lambda_svc.__name__, "_put_function_concurrency", signature, lambda original: _keep(original, limit))
    emulator.wrap(lambda_svc.__name__, "_get_account_settings", "()", lambda original: _tell(original, limit))


def _keep(original: Any, limit: int) -> Any:
    def put(func_name: str, data: dict[str, Any]) -> Any:
        kept = min(UNRESERVED, limit)
        wanted = read_int(data.get("ReservedConcurrentExecutions"), 0)
        if wanted > 0 and limit - _count_reserved(but=func_name) - wanted < kept:
            return responses.error_response_json(
                "InvalidParameterValueException",
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{kept}].",
                400,
            )
        return original(func_name, data)

    return put


def _tell(original: Any, limit: int) -> Any:
    def get() -> Any:
        status, headers, body = original()
        settings = json.loads(body)
        settings["AccountLimit"]["ConcurrentExecutions"] = limit
        settings["AccountLimit"]["UnreservedConcurrentExecutions"] = limit - _count_reserved(but="")
        return status, headers, json.dumps(settings).encode()

    return get


def _count_reserved(*, but: str) -> int:
    """Return what all functions have reserved, without one of them."""
    functions = lambda_svc._functions
    return sum(int(functions[name].get("concurrency") or 0) for name in functions if name != but)
