"""Write objects to the emulator's S3 as another AWS service does: notifying, and without a caller's credentials."""

from typing import Any

from ministack import app
from ministack.services import s3

from local.emulator.replacements import Replacements


class ObjectNotWrittenError(Exception):
    """S3 refused an object, for instance because the bucket does not exist."""

    def __init__(self, bucket: str, key: str, status: int, answer: bytes) -> None:
        super().__init__(f"s3://{bucket}/{key} was not written: HTTP {status} {answer.decode(errors='replace')}")


def require_objects(emulator: Replacements) -> None:
    """Note what this module calls."""
    emulator.require(
        s3.__name__,
        "handle_request",
        "(method: str, path: str, headers: dict, body: bytes, query_params: dict, signed_path: str | None = None, "
        "enforce_bucket_region: bool = True, internal: bool = False, access_point_region: str | None = None, "
        "access_point: dict | None = None) -> tuple",
    )
    emulator.require(
        app.__name__,
        "call_service_handler_sync",
        "(handler, method, path, headers, body, query_params, timeout: float | None = None)",
    )


def put_object(bucket: str, key: str, body: bytes) -> None:
    """Store an object in the current account and region. For use off the event loop. Raises ObjectNotWrittenError."""
    headers = {"content-type": "application/octet-stream", "content-length": str(len(body)), "host": "s3.localhost"}
    status, _, answer = app.call_service_handler_sync(_handle_internally, "PUT", f"/{bucket}/{key}", headers, body, {})
    if status >= 300:
        raise ObjectNotWrittenError(bucket, key, status, answer if isinstance(answer, bytes) else str(answer).encode())


async def _handle_internally(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
) -> Any:
    return await s3.handle_request(method, path, headers, body, query_params, internal=True)
