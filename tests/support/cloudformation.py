"""CloudFormation, as a custom resource's function sees it: a request, and a real HTTP server that takes the answer."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/arn%3Aaws%3Acloudformation%3Astack/clicks?Signature=secret"


@dataclass
class Waiting:
    """CloudFormation's side: the answers that it got, and the statuses that it gives to the next ones."""

    url: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def request(self, kind: str = "Create", **more: Any) -> dict[str, Any]:
        return {
            "RequestType": kind,
            "ResponseURL": self.url,
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/clicks/0f1e",
            "RequestId": "request-1",
            "ResourceType": "Custom::PreparedTarget",
            "LogicalResourceId": "PreparedTarget",
            "ResourceProperties": {"Mapping": "web_analytics"},
            **more,
        }


@contextmanager
def serve(waiting: Waiting) -> Iterator[None]:
    """Take answers until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = waiting.statuses.pop(0) if waiting.statuses else 200
            if status == 200:
                assert self.path == PATH
                waiting.answers.append(json.loads(body))
                waiting.headers.append(dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    waiting.url = f"http://127.0.0.1:{server.server_port}{PATH}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
