"""The inside of a local Lambda execution environment: loads one function's handler and serves its invocations.

Started by ``lambda_runtime`` with the functions' own interpreter, in isolated mode, so that a function can import its
package, the runtime's boto3 and nothing else; or forked from a ``fork_server``. Standard library only, and no import
from this project.

Arguments: the file descriptor of the control socket, the one of the lifeline, then the directories to put on
``sys.path``. Both directions of the control socket carry frames: eight bytes of length, then as many bytes.

=========  ==========================================================================================
direction  frame
=========  ==========================================================================================
to parent  once: ``I`` (ready) or ``E`` + JSON error document (the handler could not be loaded)
to child   per invocation: JSON object of the invocation (request id, function ARN, deadline, trace id)
to child   per invocation: the event, JSON
to parent  per invocation: ``R`` + JSON result, or ``E`` + JSON error document
=========  ==========================================================================================

DYNAURORA_DEATHS names a file that says in the middle of which invocations this process is killed (``deaths``),
DYNAURORA_CLOCK_SECONDS by how much its clock is off (``clocks``).

Everything written to standard output and error is the function's log: it never meets the protocol. Errors have the
form that AWS's Python runtime gives them (awslambdaric, ``bootstrap.py``): errorMessage, errorType (the exception's
class name), requestId, stackTrace.
"""

import _thread
import importlib
import json
import logging
import os
import runpy
import socket
import sys
import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

MAXIMUM_RESPONSE_BYTES = 6_291_556
"""Largest response of a synchronous invocation; the odd hundred is AWS's own ("maximum allowed payload size
(6291556 bytes)" in the error that it returns)."""

Handler = Callable[[Any, "LambdaContext"], Any]

_request_id = ""
_tell_time = time.time  # of the machine: a function's own may be off


class RuntimeFaultError(Exception):
    """A failure that the runtime itself names (``Runtime.ImportModuleError`` …) instead of by an exception's class."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = trace or []


class LambdaContext:
    """The second argument of a handler."""

    def __init__(self, invocation: dict[str, Any]) -> None:
        self.aws_request_id: str = invocation["request_id"]
        self.invoked_function_arn: str = invocation["function_arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context = None
        self.identity = None
        self.tenant_id = None
        self._deadline: float = invocation["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout."""
        return max(0, int((self._deadline - _tell_time()) * 1000))

    def log(self, message: str) -> None:
        """Write to the function's log."""
        sys.stdout.write(str(message))


def main() -> None:
    """Serve as the arguments say."""
    control, lifeline, *paths = sys.argv[1:]
    sys.path[:0] = paths
    sys.argv = sys.argv[:1]
    serve(socket.socket(fileno=int(control)), int(lifeline))


def serve(control: socket.socket, lifeline: int) -> None:
    """Load the handler, then serve until the parent goes away."""
    control.set_inheritable(False)  # a process the function starts must not keep the socket open
    _exit_with_parent(lifeline)
    _write_logs_at_once()
    if seconds := float(os.environ.pop("DYNAURORA_CLOCK_SECONDS", "") or 0):
        _load("clocks.py")["set_off"](seconds)
    try:
        handler = load_handler(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001 - whatever a function's import raises is that function's init error
        send_frame(control, b"E" + _log_error(describe_error(error, "")))
        sys.exit(1)
    deaths = _load_deaths()
    send_frame(control, b"I")
    while (invocation := receive_frame(control)) is not None:
        event = receive_frame(control)
        if event is None:
            return
        if deaths:
            deaths.begin()
        answer = invoke(handler, json.loads(invocation), event)
        if deaths:
            deaths.end()
        send_frame(control, answer)


def load_handler(name: str) -> Handler:
    """Import ``module.function``, with the runtime's own names for what can go wrong.

    Raises RuntimeFaultError; anything else that the module raises while it is imported passes through.
    """
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise RuntimeFaultError(
            "Runtime.MalformedHandlerName", f"Bad handler '{name}': not of the form module.function"
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise RuntimeFaultError(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}"
        ) from error
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        raise RuntimeFaultError(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", trace
        ) from error
    try:
        handler: Handler = getattr(module, function_name)
    except AttributeError as error:
        raise RuntimeFaultError(
            "Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'"
        ) from error
    return handler


def invoke(handler: Handler, invocation: dict[str, Any], event: bytes) -> bytes:
    """Run one invocation; the frame to answer with. Only ``Exception`` is caught: ``sys.exit`` ends the process."""
    global _request_id
    _request_id = invocation["request_id"]
    _set_trace_id(invocation.get("trace_id"))
    try:
        answer = b"R" + marshal(handler(json.loads(event), LambdaContext(invocation)))
    except Exception as error:  # noqa: BLE001 - reported to the caller, as AWS's runtime does
        answer = b"E" + _log_error(describe_error(error, _request_id))
    sys.stdout.flush()
    sys.stderr.flush()
    return answer


def marshal(result: Any) -> bytes:
    """Encode a handler's result. Raises RuntimeFaultError if it is not JSON, or larger than a response may be."""
    try:
        encoded = json.dumps(result, ensure_ascii=False, default=_decimal_as_number).encode()
    except (TypeError, ValueError) as error:
        raise RuntimeFaultError("Runtime.MarshalError", f"Unable to marshal response: {error}") from error
    if len(encoded) > MAXIMUM_RESPONSE_BYTES:
        raise RuntimeFaultError(
            "Function.ResponseSizeTooLarge",
            f"Response payload size exceeded maximum allowed payload size ({MAXIMUM_RESPONSE_BYTES} bytes).",
        )
    return encoded


def describe_error(error: Exception, request_id: str) -> dict[str, Any]:
    """Return the error document of a failed invocation, without this file's own frames."""
    if isinstance(error, RuntimeFaultError):
        kind, trace = error.kind, error.trace
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
        kind, trace = type(error).__name__, traceback.format_list(frames)
    return {"errorMessage": str(error), "errorType": kind, "requestId": request_id, "stackTrace": trace}


def send_frame(control: socket.socket, payload: bytes) -> None:
    """Send one length-prefixed frame."""
    control.sendall(len(payload).to_bytes(8, "big") + payload)


def receive_frame(control: socket.socket) -> bytes | None:
    """Receive one frame; None once the parent has closed the socket."""
    length = receive_exactly(control, 8)
    return None if length is None else receive_exactly(control, int.from_bytes(length, "big"))


def receive_exactly(control: socket.socket, count: int) -> bytes | None:
    """Receive so many bytes; None once the parent has closed the socket."""
    buffer = bytearray(count)
    view, received = memoryview(buffer), 0
    while received < count:
        size = control.recv_into(view[received:])
        if size == 0:
            return None
        received += size
    return bytes(buffer)


def _load_deaths() -> Any:
    """Return what says when this process dies, or None where nothing does."""
    file = os.environ.pop("DYNAURORA_DEATHS", "")
    if not file:
        return None
    return _load("deaths.py")["Deaths"](Path(file))


def _load(name: str) -> dict[str, Any]:
    """Return what a file from beside this one has: it is not on the path of a function."""
    return runpy.run_path(str(Path(__file__).with_name(name)))


def _log_error(document: dict[str, Any]) -> bytes:
    """Log an error as the runtime does, and encode it; ASCII, since its message may hold anything."""
    lines = [f"[ERROR] {document['errorType']}: {document['errorMessage']}", "Traceback (most recent call last):"]
    lines += [line for entry in document["stackTrace"] for line in entry.splitlines()]
    sys.stdout.write("\n".join(lines).encode("utf-8", "backslashreplace").decode() + "\n")
    return json.dumps(document).encode()


def _decimal_as_number(value: Any) -> int | float:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _set_trace_id(trace_id: str | None) -> None:
    if trace_id:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)


def _exit_with_parent(lifeline: int) -> None:
    """End this process when the emulator is gone, even while a handler runs.

    The emulator holds the only writing end, so reading ends when it does. Not PR_SET_PDEATHSIG: that follows the thread
    that started this process, and the emulator's threads come and go.
    """
    os.set_inheritable(lifeline, False)

    def wait_for_end() -> None:
        os.read(lifeline, 1)
        os._exit(0)

    _thread.start_new_thread(wait_for_end, ())


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = _request_id
        return True


def _write_logs_at_once() -> None:
    """Write lines as they come, so that output and error keep their order; format log records as the runtime does."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    handler = logging.StreamHandler(sys.stdout)
    handler.terminator = ""
    handler.addFilter(_RequestIdFilter())
    logging.Formatter.converter = time.gmtime
    handler.setFormatter(
        logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
        )
    )
    logging.getLogger().addHandler(handler)


if __name__ == "__main__":
    main()
