"""IAM with AUTH=true: requests to the local endpoint count as encrypted.

AWS's endpoints are reached by TLS, the local one by plain HTTP on the loopback interface. A policy that denies plain
HTTP (``aws:SecureTransport`` is ``"false"``), as a bucket's should, would deny every local request; what it is there
to prevent does not exist here.
"""

from typing import Any

from ministack.core import iam_evaluator

from local.emulator.replacements import Replacements


def install(emulator: Replacements) -> None:
    """Plan the replacement of this behaviour."""
    signature = "(key: str, ctx: ministack.core.iam_evaluator.EvalContext) -> Any"
    emulator.wrap(iam_evaluator.__name__, "_resolve_condition_key", signature, _count_as_encrypted)


def _count_as_encrypted(original: Any) -> Any:
    def resolve(key: str, ctx: Any) -> Any:
        return "true" if key.lower() == "aws:securetransport" else original(key, ctx)

    return resolve
