"""Custom resources: work that CloudFormation asks for while it deploys a stack, and the one answer that it waits for.

CloudFormation calls a function with a request (Create, Update or Delete) that has a signed URL, and waits until an
answer is put there, or for as long as the resource's `ServiceTimeout` says (AWS CloudFormation User Guide,
"CloudFormation custom resource request and response reference"). So everything is answered: what was done, what failed
and why, and what is not done in time.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError

from dynaurora.observability import logger

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ANSWER_BYTES: Final = 4096
"""Of an answer's body; CloudFormation takes no larger one."""
MAX_ANSWER_REASON: Final = 500
"""Characters of a reason, of which JSON makes six bytes each at most."""
ANSWER_SECONDS: Final = 40.0
"""To be kept of a function's time for the answer: as long as all its attempts take."""
ANSWER_ATTEMPTS: Final = 5
FIRST_ANSWER_PAUSE_SECONDS: Final = 0.5
PUT_SECONDS: Final = 5.0


@dataclass
class Answer:
    """The answer to one request. It is sent once, by whoever is first; what comes later is not sent."""

    request: dict[str, Any]
    resource: str
    """The physical id: what CloudFormation calls the resource from now on."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sent: str = ""
    """The status that was sent."""

    def succeed(self, data: dict[str, str]) -> None:
        """Say that it is done; `data` is what a template may read by Fn::GetAtt."""
        self._send({"Status": "SUCCESS", "Data": data})

    @property
    def is_success(self) -> bool:
        """Whether CloudFormation was told that it is done."""
        return self._sent == "SUCCESS"

    def fail(self, reason: str) -> None:
        """Say why it is not done; CloudFormation shows the reason and rolls the deployment back."""
        logger.error("Request failed", extra={"reason": reason})
        self._send({"Status": "FAILED", "Reason": reason[:MAX_ANSWER_REASON]})

    def _send(self, outcome: dict[str, Any]) -> None:
        repeated = {name: self.request[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
        answer = outcome | repeated | {"PhysicalResourceId": self.resource}
        body = json.dumps(answer, ensure_ascii=False).encode(errors="replace")
        with self._lock:
            if not self._sent:
                put(self.request["ResponseURL"], body)
                self._sent = outcome["Status"]


def fulfil(request: dict[str, Any], resource: str, work: Callable[[], dict[str, str]], *, seconds: float) -> bool:
    """Do the work and answer the request, with a failure where the work fails or takes longer than `seconds`.

    `resource` names what the request creates; later requests of it bring the name along. Tell whether it was done in
    time. Raises what sending the answer
    raises: Lambda then calls the function again.
    """
    answer = Answer(request, request.get("PhysicalResourceId") or resource)
    late = f"It was not done within {seconds:.0f} s. Deploy again: what was done is found done."
    timer = threading.Timer(seconds, answer.fail, [late])
    timer.daemon = True
    timer.start()
    try:
        data = work()
    except Exception as error:  # noqa: BLE001  # whatever it is, CloudFormation waits for an answer
        logger.exception("Request failed")
        problem = getattr(error, "problem", None) or str(error)
        answer.fail(f"{type(error).__name__}: {problem} Mend that, then deploy again.")
    else:
        answer.succeed(data)
    finally:
        timer.cancel()
    return answer.is_success


def put(url: str, body: bytes) -> None:
    """Put an answer where CloudFormation waits for it; try again where the network or S3 fails.

    The URL is signed for a request without a content type. Raises OSError (HTTPError where S3 refuses it).
    """
    # The URL is CloudFormation's own.
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310
    for attempt in range(ANSWER_ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=PUT_SECONDS):  # noqa: S310
                return
        except OSError as error:
            is_refused = isinstance(error, HTTPError) and error.code < 500
            if is_refused or attempt == ANSWER_ATTEMPTS - 1:
                raise
        time.sleep(FIRST_ANSWER_PAUSE_SECONDS * 2**attempt)
