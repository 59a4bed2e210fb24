"""AWS clients, made once, and their errors as ours."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as SdkConnectionError
from botocore.session import get_session

from dynaurora.errors import (
    AccessDeniedError,
    DynauroraError,
    KeyUnavailableError,
    ObjectMissingError,
    ThrottledError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.session import Session

Reply = TypeVar("Reply")

READ_SECONDS = 30
RETRIES = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=5)
LONGER_READ_SECONDS = {"lambda": 150}
"""How long services are waited for that answer late: a function that waits for a database that has paused, for one."""
THROTTLING_CODES = (
    "Throttl",
    "SlowDown",
    "TooManyRequests",
    "LimitExceeded",
    "ProvisionedThroughput",
    "ServiceUnavailable",
)
UNREACHABLE = (SdkConnectionError, HTTPClientError, IncompleteReadError)
"""The network's failures; what else the SDK raises by itself, as missing credentials, no retry mends."""
KEY_CODES = ("KMS", "DecryptionFailure", "EncryptionFailure", "InaccessibleEncryption")
"""How codes begin that say of a key that it cannot be used: of S3, Lambda, SNS (`KMS…`), Secrets Manager, DynamoDB."""
SKEWED_CODES = ("RequestTimeTooSkewed", "RequestExpired")
SKEWED_MESSAGES = ("Signature expired", "Signature not yet current")
"""What AWS says to whoever signs by a clock that is off: S3 and EC2 by code, others as an invalid signature."""
_CREATING = Lock()
"""A session makes one client at a time ("Multithreading or multiprocessing with … sessions", Boto3 developer guide)."""
MISSING_CODES = ("NoSuchKey", "NoSuchBucket", "NotFound", "404")


@cache
def client(service: str) -> Any:
    """Return the one client of a service; its calls are traced, and retried by the SDK's standard mode."""
    from dynaurora.observability import tracer  # here: making a tracer fails where the SDK's configuration is wrong

    tracer.patch(("botocore",))
    with _CREATING:
        config = RETRIES.merge(Config(read_timeout=LONGER_READ_SECONDS.get(service, READ_SECONDS)))
        return _session().create_client(service, config=config)


def forget_clients() -> None:
    """Have clients be made anew, by the environment as it is then."""
    client.cache_clear()
    _session.cache_clear()


@cache
def _session() -> Session:
    """Return what makes all clients: it reads the SDK's data once, which is most of the work."""
    return get_session()


def unless_invalid(ask: Callable[[], Reply]) -> Reply | None:
    """Return what a call answers; None where AWS says that a value of it is not valid. Raises what else it says."""
    try:
        return ask()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ValidationException":
            raise
    return None


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the SDK's errors into ours; one that is not known stays as it is, and has a name of its own."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        translated = translate_error(error)
        if translated is None:
            raise
        raise translated from error


def translate_error(error: ClientError | BotoCoreError) -> DynauroraError | None:
    """Return our error for one of the SDK's, or None where the tree has none for it."""
    if isinstance(error, BotoCoreError):
        return ThrottledError(f"AWS could not be reached: {error}.") if isinstance(error, UNREACHABLE) else None
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
    problem = f"{error.operation_name} answered {code}: {message}."
    if status >= 500 or any(word in code for word in THROTTLING_CODES):
        return ThrottledError(problem)
    if code in SKEWED_CODES or message.startswith(SKEWED_MESSAGES):
        return ThrottledError(f"{problem} The clock that signs requests is off: this passes once it is right.")
    if code.startswith(KEY_CODES) and "AccessDenied" not in code:
        return KeyUnavailableError(problem)
    if code in MISSING_CODES:
        return ObjectMissingError(problem)
    if "AccessDenied" in code or code in {"403", "UnauthorizedOperation"}:
        return AccessDeniedError(problem)
    return None
