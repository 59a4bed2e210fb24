"""S3: requests that it turns away now and then, and objects that it says are older, on demand (``faults``).

``fail_gets`` and ``fail_puts`` count requests for objects that are answered with HTTP 503 ``SlowDown``: GET and HEAD of
the one, PUT and POST (parts and completions of uploads) of the other. Whoever calls the API gets them, be it a
function, Aurora or a test. Other services of the emulator's do not, but for delivery streams, whose writes take from
``fail_puts``. ``age_mappings_seconds`` dates the objects of a mapping's registry back where they are listed.

Source: Amazon S3 API Reference, "List of error codes".
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from ministack.services import s3

from local.emulator import faults
from local.emulator.objects import require_objects
from local.emulator.replacements import Replacements

OF_REGISTRY = re.compile(rb"(<Key>mappings/[^<]*</Key><LastModified>)([^<]+)")
COUNTERS = {"GET": "fail_gets", "HEAD": "fail_gets", "PUT": "fail_puts", "POST": "fail_puts"}


def install(emulator: Replacements) -> None:
    """Plan the replacement that turns requests away."""
    module = s3.__name__
    require_objects(emulator)
    emulator.require(module, "_parse_bucket_key", "(path: str, headers: dict)")
    emulator.require(
        module,
        "_error",
        "(code: str, message: str, status: int, resource: str = '', extra: dict[str, str] | None = None, "
        "headers: dict | None = None) -> tuple",
    )
    emulator.wrap(
        module,
        "handle_request",
        "(method: str, path: str, headers: dict, body: bytes, query_params: dict, signed_path: str | None = None, "
        "enforce_bucket_region: bool = True, internal: bool = False, access_point_region: str | None = None, "
        "access_point: dict | None = None) -> tuple",
        _turn_away,
    )


def _turn_away(original: Any) -> Any:
    async def handle(method: str, path: str, headers: dict[str, str], *rest: Any, **options: Any) -> Any:
        _, key = s3._parse_bucket_key(path, headers)
        counter = COUNTERS.get(method)
        if key and counter and not options.get("internal") and faults.take(counter):
            return s3._error("SlowDown", "Please reduce your request rate.", 503, path)
        answer = await original(method, path, headers, *rest, **options)
        age = 0 if key or method != "GET" else faults.read_registry_age()
        return _date_back(answer, age) if age else answer

    return handle


def _date_back(answer: Any, seconds: int) -> Any:
    """Return a listing whose objects below the registry's prefix are so much older."""
    status, headers, body = answer

    def older(match: re.Match[bytes]) -> bytes:
        time = datetime.fromisoformat(match[2].decode()) - timedelta(seconds=seconds)
        return match[1] + time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()

    listed = body if isinstance(body, bytes) else str(body).encode()
    return status, headers, OF_REGISTRY.sub(older, listed)
