import pytest
from botocore import exceptions as sdk

from dynaurora.aws.sdk import translate_error, translated_errors
from dynaurora.errors import AccessDeniedError, KeyUnavailableError, ObjectMissingError, ThrottledError


def client_error(code, status=400):
    response = {"Error": {"Code": code, "Message": "said why"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return sdk.ClientError(response, "PutObject")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("ThrottlingException"), ThrottledError),
        (client_error("Throttling"), ThrottledError),
        (client_error("SlowDown", 503), ThrottledError),
        (client_error("RequestTimeTooSkewed", 403), ThrottledError),
        (client_error("TooManyRequestsException"), ThrottledError),
        (client_error("LimitExceededException"), ThrottledError),
        (client_error("ServiceUnavailableException", 503), ThrottledError),
        (client_error("InternalError", 500), ThrottledError),
        (client_error("KMS.ThrottlingException"), ThrottledError),
        (client_error("KMS.DisabledException"), KeyUnavailableError),
        (client_error("KMS.KMSInvalidStateException"), KeyUnavailableError),
        (client_error("KMSDisabledException"), KeyUnavailableError),
        (client_error("DecryptionFailure"), KeyUnavailableError),
        (client_error("KMSAccessDeniedException"), AccessDeniedError),
        (client_error("NoSuchKey", 404), ObjectMissingError),
        (client_error("NoSuchBucket", 404), ObjectMissingError),
        (client_error("404", 404), ObjectMissingError),  # HeadObject has no body, and so no better code
        (client_error("AccessDenied", 403), AccessDeniedError),
        (client_error("AccessDeniedException"), AccessDeniedError),
        (client_error("403", 403), AccessDeniedError),
        (client_error("InvalidArgument"), type(None)),
        (sdk.EndpointConnectionError(endpoint_url="https://s3"), ThrottledError),
        (sdk.ConnectTimeoutError(endpoint_url="https://s3"), ThrottledError),
        (sdk.ReadTimeoutError(endpoint_url="https://s3"), ThrottledError),
        (sdk.ConnectionClosedError(endpoint_url="https://s3"), ThrottledError),
        (sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2), ThrottledError),
        (sdk.NoCredentialsError(), type(None)),
        (sdk.ParamValidationError(report="x"), type(None)),
        (sdk.NoRegionError(), type(None)),
    ],
    ids=lambda value: str(value)[:70],
)
def test_an_error_is_sorted_by_what_to_do_about_it(error, expected):
    assert type(translate_error(error)) is expected


def test_the_problem_names_the_call_and_awss_reason():
    assert translate_error(client_error("AccessDenied")).problem == "PutObject answered AccessDenied: said why."


def test_an_unknown_error_passes_as_it_is():
    error = client_error("InvalidArgument")
    with pytest.raises(sdk.ClientError) as caught, translated_errors():
        raise error
    assert caught.value is error


def test_a_known_error_keeps_its_cause():
    error = client_error("SlowDown")
    with pytest.raises(ThrottledError) as caught, translated_errors():
        raise error
    assert caught.value.__cause__ is error
