"""Functions of Lambda, asked for their answer."""

from __future__ import annotations

from typing import Any

from dynaurora.aws import sdk


class LambdaFunctions:
    """The real ones."""

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803 (the SDK's names)
        """Return what the SDK answers for one call, once the function has answered. Raises what the SDK does."""
        return sdk.client("lambda").invoke(FunctionName=FunctionName, Payload=Payload)
