"""Answers to CloudFormation, put to a real HTTP server."""

import json
import logging
import threading
import time
from urllib.error import HTTPError

import pytest

from dynaurora.aws import custom_resources
from dynaurora.aws.custom_resources import MAX_ANSWER_BYTES, fulfil, put
from dynaurora.errors import TargetMismatchError
from tests.support.cloudformation import Waiting, serve
from tests.support.waiting import wait_until


@pytest.fixture
def waiting(monkeypatch):
    monkeypatch.setattr(custom_resources, "FIRST_ANSWER_PAUSE_SECONDS", 0.001)
    found = Waiting()
    with serve(found):
        yield found


def fail(error):
    def work():
        raise error

    return work


def test_what_was_done_is_answered(waiting):
    assert fulfil(waiting.request(), "target-of-web_analytics", lambda: {"View": "Demo.WebAnalytics"}, seconds=60)
    assert waiting.answers == [
        {
            "Status": "SUCCESS",
            "Data": {"View": "Demo.WebAnalytics"},
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/clicks/0f1e",
            "RequestId": "request-1",
            "LogicalResourceId": "PreparedTarget",
            "PhysicalResourceId": "target-of-web_analytics",
        }
    ]
    assert waiting.headers[0]["Content-Type"] == "", "the URL is signed for a request without a content type"


@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_a_resource_keeps_the_name_it_was_created_with(waiting, kind):
    fulfil(waiting.request(kind, PhysicalResourceId="the first name"), "another name", dict, seconds=60)
    assert waiting.answers[0]["PhysicalResourceId"] == "the first name"


def test_what_failed_is_answered_with_its_reason_and_does_not_fail_the_function(waiting):
    assert not fulfil(waiting.request(), "name", fail(TargetMismatchError("The replica is another one.")), seconds=60)
    (answer,) = waiting.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == "TargetMismatchError: The replica is another one. Mend that, then deploy again."
    assert answer["PhysicalResourceId"] == "name"


def test_what_nobody_expected_is_answered_too(waiting):
    fulfil(waiting.request(), "name", fail(ZeroDivisionError("division by zero")), seconds=60)
    assert waiting.answers[0]["Reason"].startswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize("letter", ["x", "\N{CJK UNIFIED IDEOGRAPH-4E00}", "\N{GRINNING FACE}", '"', "\0"])
def test_a_long_reason_is_cut_to_what_cloudformation_takes(waiting, monkeypatch, letter):
    bodies = []
    monkeypatch.setattr(custom_resources, "put", lambda _, body: bodies.append(body))
    fulfil(waiting.request(), "name", fail(ValueError(letter * 5_000)), seconds=60)
    (body,) = bodies
    assert len(body) <= MAX_ANSWER_BYTES
    assert json.loads(body)["Reason"].startswith(f"ValueError: {letter}")


def test_what_takes_too_long_is_answered_in_time_and_once(waiting):
    assert not fulfil(waiting.request(), "name", lambda: time.sleep(0.3) or {}, seconds=0.05)
    (answer,) = waiting.answers
    assert answer["Status"] == "FAILED"
    assert "not done within" in answer["Reason"]


def test_what_is_done_in_time_is_not_answered_again(waiting):
    timers = set(threading.enumerate())
    fulfil(waiting.request(), "name", dict, seconds=60)
    wait_until(lambda: not any(isinstance(each, threading.Timer) for each in {*threading.enumerate()} - timers))
    assert [answer["Status"] for answer in waiting.answers] == ["SUCCESS"]


def test_an_answer_that_does_not_get_through_is_sent_again(waiting):
    waiting.statuses = [503, 500]
    fulfil(waiting.request(), "name", dict, seconds=60)
    assert [answer["Status"] for answer in waiting.answers] == ["SUCCESS"]


def test_an_answer_that_never_gets_through_fails_the_function(waiting):
    waiting.statuses = [503] * custom_resources.ANSWER_ATTEMPTS
    with pytest.raises(HTTPError, match="503"):
        fulfil(waiting.request(), "name", dict, seconds=60)
    assert waiting.answers == []


def test_a_refused_answer_is_not_sent_again(waiting):
    waiting.statuses = [403]
    with pytest.raises(HTTPError, match="403"):
        put(waiting.url, b"{}")
    assert waiting.statuses == []


def test_nobody_listening_fails_the_function(monkeypatch):
    monkeypatch.setattr(custom_resources, "FIRST_ANSWER_PAUSE_SECONDS", 0.001)
    with pytest.raises(OSError):
        put("http://127.0.0.1:1/answer", b"{}")


def test_the_signed_url_is_not_logged(waiting, capsys, caplog):
    with caplog.at_level(logging.DEBUG):
        fulfil(waiting.request(), "name", fail(ValueError("no")), seconds=60)
        fulfil(waiting.request(), "name", dict, seconds=60)
    written = capsys.readouterr()
    assert "Signature" not in written.out + written.err + caplog.text
