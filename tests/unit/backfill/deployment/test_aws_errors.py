import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ProfileNotFound,
    TokenRetrievalError,
)

from backfill.deployment.aws_errors import AGAIN, explain_any, explain_error, is_passing
from dynaurora.errors import (
    ConnectionLostError,
    KeyUnavailableError,
    MalformedBatchError,
    ReadOnlyError,
    RetryableError,
    ThrottledError,
)


def refused(code, status=400):
    answer = {"Error": {"Code": code, "Message": "It says so."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "StartExecution")


UNREACHABLE = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("error", "next_step"),
    [
        (NoCredentialsError(), "AWS_PROFILE"),
        (NoRegionError(), "Set AWS_REGION"),
        (ProfileNotFound(profile="nope"), "aws configure list-profiles"),
        (TokenRetrievalError(provider="sso", error_msg="expired"), "set AWS_PROFILE"),
        (UNREACHABLE, "Look at the network"),
        (refused("AccessDeniedException"), "Grant it to the user or role"),
        (refused("ExpiredTokenException"), "set AWS_PROFILE"),
        (refused("UnrecognizedClientException"), "set AWS_PROFILE"),
        (refused("ThrottlingException"), "Wait a moment"),
        (refused("StateMachineDoesNotExist"), "StartExecution answered StateMachineDoesNotExist: It says so."),
        (ParamValidationError(report="a"), "The AWS SDK cannot do this"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_says_what_to_do(error, next_step):
    assert next_step in explain_error(error)


def test_an_endpoint_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "AWS_ENDPOINT_URL is http://127.0.0.1:1" in explain_error(UNREACHABLE)


def test_what_a_function_retries_is_told_once_as_what_its_caller_may_repeat():
    said = str(ConnectionLostError("Aurora said 2013."))
    problem = "The function clicks-compare-rows failed: Aurora said 2013."
    assert explain_any(ThrottledError(f"The function clicks-compare-rows failed: {said}")) == f"{problem} {AGAIN}"
    assert explain_any(MalformedBatchError("It is empty.")) == str(MalformedBatchError("It is empty."))


@pytest.mark.parametrize("kind", RetryableError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_nothing_is_promised_to_who_called_that_functions_retry(kind):
    problem = "The function clicks-compare-rows failed: Aurora said so."
    for error in (kind(problem), ThrottledError(str(kind(problem)))):
        said = explain_any(error)
        assert said.startswith(f"{problem} ")
        assert "retried by itself" not in said
        assert said.count("epeat the command") == 1


def test_what_helps_where_it_does_not_pass_is_told_to_who_called_too():
    again = AGAIN.rstrip(".")
    assert explain_any(ReadOnlyError("It is read.")).startswith(f"It is read. {again}; if it goes on, give the stack")
    assert "disabled. Repeat the command once the key can be" in explain_any(KeyUnavailableError("It is disabled."))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (refused("ThrottlingException"), True),
        (refused("InternalFailure", 500), True),
        (UNREACHABLE, True),
        (refused("AccessDeniedException"), False),
        (NoCredentialsError(), False),
    ],
    ids=["throttled", "AWS's fault", "unreachable", "denied", "no credentials"],
)
def test_what_a_watch_waits_for(error, passes):
    assert is_passing(error) is passes
