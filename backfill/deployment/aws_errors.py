"""What AWS and its SDK refuse, in words that say what to do about it."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    LoginError,
    MissingDependencyException,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from backfill.deployment.sign_in import LOCAL, find_sign_in
from dynaurora.aws.sdk import THROTTLING_CODES, UNREACHABLE
from dynaurora.errors import DynauroraError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Iterator

DENIED: Final = ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")
INVALID_CREDENTIALS: Final = (
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignature",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
)
AGAIN: Final = "That may pass by itself: repeat the command in a few minutes."
PROMISE: Final = re.compile(r"It (?:waits for a turn and )?is retried by itself(?P<once> once)?")
"""With what the remedies of errors begin that functions retry; what follows holds for who calls one by hand, too."""
WRONG_CLOCK: Final = ("RequestTimeTooSkewed", "Signature expired", "Signature not yet current")
"""Codes, and what messages begin with, by which AWS says that a request was signed at another time than now."""
PROBLEMS: Final = {
    NoCredentialsError: "No AWS credentials of {}",
    PartialCredentialsError: "Only a part of the AWS credentials of {}",
    SSOError: "The sign-in of {} is over",
    TokenRetrievalError: "The sign-in of {} is over",
    LoginError: "The sign-in of {} is over",
    CredentialRetrievalError: "No AWS credentials come from {}",
    MissingDependencyException: "The AWS SDK lacks what the sign-in of {} takes",
}
"""What is wrong with the credentials of somebody, by the SDK's error."""


@contextmanager
def explained_errors() -> Iterator[None]:
    """End the command with status 1 and the reason, where AWS refuses something or cannot be reached."""
    try:
        yield
    except (DynauroraError, BotoCoreError, ClientError) as error:
        raise click.ClickException(explain_any(error)) from error


def explain_any(error: DynauroraError | BotoCoreError | ClientError) -> str:
    """Return what went wrong and what to do about it.

    The core's errors speak of the functions; what AWS said to this machine is their cause.
    """
    cause = error.__cause__ if isinstance(error, DynauroraError) else error
    return explain_error(cause) if isinstance(cause, BotoCoreError | ClientError) else tell_caller(str(error))


def tell_caller(text: str) -> str:
    """Return what a function failed with, told to who called it by hand: nobody tries that again but they."""
    problem = text.replace(f" {RetryableError.remedy}", "")  # also where one is told as the reason of another
    told = PROMISE.sub(lambda found: "Repeat the command once" if found["once"] else AGAIN.rstrip("."), problem)
    return told if told != problem or problem == text else f"{told} {AGAIN}"


def explain_failure(error: click.ClickException | DynauroraError | BotoCoreError | ClientError) -> str:
    """Return why something was not done that is one of several."""
    return error.message if isinstance(error, click.ClickException) else explain_any(error)


def explain_error(error: BotoCoreError | ClientError) -> str:
    """Return what went wrong and what to do about it."""
    if isinstance(error, ClientError):
        return _explain_answer(error)
    told = str(error).strip().rstrip(".")
    if problem := _name_problem(error):
        found = find_sign_in()
        return f"{problem.format(found.whose)}: {told}. {found.next_step}"
    if isinstance(error, ConfigParseError | InvalidConfigError):
        return f"The AWS SDK cannot be configured so: {told}. Correct that: `aws configure list` reads the same."
    if isinstance(error, ProfileNotFound):
        known = "one that `aws configure list-profiles` names"
        return f"{told}. Give --profile, or set AWS_PROFILE or profile in dynaurora.toml: {known}."
    if isinstance(error, NoRegionError):
        places = "Set AWS_REGION, region in dynaurora.toml, or the profile's"
        return f"No AWS region is configured. {places}, or give --region; {LOCAL}."
    if isinstance(error, UNREACHABLE):
        return f"AWS cannot be reached: {told}. {_name_where_to_look()}"
    return f"The AWS SDK cannot do this: {told}."


def is_about_credentials(error: Exception) -> bool:
    """Tell whether AWS does not know who asks, or not any more; the core's errors have what AWS said as their cause."""
    cause = error.__cause__ if isinstance(error, DynauroraError) else error
    if isinstance(cause, ClientError):
        return _is_any(_code(cause), INVALID_CREDENTIALS)
    return _name_problem(cause) is not None


def is_passing(error: BotoCoreError | ClientError) -> bool:
    """Tell whether the same call may succeed in a moment: throttled, unreachable, or AWS's own fault."""
    if isinstance(error, ClientError):
        return _is_any(_code(error), THROTTLING_CODES) or _status(error) >= 500
    return isinstance(error, UNREACHABLE)


def _name_problem(error: BaseException | None) -> str | None:
    """Return what is wrong with credentials; None where the error is about anything else."""
    return next((problem for kind, problem in PROBLEMS.items() if isinstance(error, kind)), None)


def _explain_answer(error: ClientError) -> str:
    code, call = _code(error), error.operation_name
    message = str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
    if _is_any(f"{code} {message}", WRONG_CLOCK):
        return f"AWS takes this machine's clock for wrong: {message} ({code}). Look at `date --utc`, and set it."
    if _is_any(code, INVALID_CREDENTIALS):
        found = find_sign_in()
        return f"AWS does not accept the credentials of {found.whose}: {message} ({code}). {found.next_step}"
    if _is_any(code, DENIED) or code == "403":
        caller = "the user or role that `aws sts get-caller-identity` names"
        return f"AWS refused {call}: {message} ({code}). Grant it to {caller}."
    if _is_any(code, THROTTLING_CODES):
        return f"AWS asks to be called less often: {call} answered {code}. Wait a moment, then repeat the command."
    return f"{call} answered {code}: {message}."


def _name_where_to_look() -> str:
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        return f"AWS_ENDPOINT_URL is {endpoint}: start what answers there, or unset it; {LOCAL}."
    return "Look at the network, and at the region that is configured."


def _is_any(code: str, words: tuple[str, ...]) -> bool:
    return any(word in code for word in words)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
