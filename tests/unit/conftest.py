"""The environment that the functions have on AWS, and how Lambda loads them."""

import importlib
import os
import sys
from contextlib import ExitStack

import pytest
from botocore.stub import Stubber
from hypothesis import settings

from tests.support.functions import ENVIRONMENT

# Modules read these while they are imported, so they are set before the first of ours is.
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "dynaurora")
os.environ.setdefault("POWERTOOLS_TRACE_DISABLED", "true")

settings.register_profile("patient", deadline=None)  # on a busy machine any example may take long
settings.load_profile("patient")


@pytest.fixture
def load(monkeypatch):
    """Return what loads a function anew, with its environment and some variables changed."""
    from dynaurora.aws import sdk
    from dynaurora.observability import metrics

    sdk.forget_clients()
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    def load_function(name, **changed):
        for variable, value in (ENVIRONMENT | changed).items():
            monkeypatch.setenv(variable, value)
        sys.modules.pop(f"lambdas.{name}", None)
        metrics.clear_default_dimensions()
        metrics.clear_metrics()
        return importlib.import_module(f"lambdas.{name}")

    yield load_function
    for name in [name for name in sys.modules if name.startswith("lambdas.")]:
        del sys.modules[name]
    sdk.forget_clients()


@pytest.fixture
def stub(monkeypatch):
    """Return what stubs the client of a service; in the end all that it was to be asked must have been asked."""
    from dynaurora.aws import sdk

    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for variable in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, ENVIRONMENT[variable])
    sdk.forget_clients()
    with ExitStack() as stubs:

        def stub_service(service):
            stubber = stubs.enter_context(Stubber(sdk.client(service)))
            stubs.callback(stubber.assert_no_pending_responses)
            return stubber

        yield stub_service
    sdk.forget_clients()
