"""Lambda: execution environments and errors as AWS's Python runtime has them.

What the emulator does otherwise: every error has the type ``Runtime.HandlerError`` (so no Retry or Catch by name ever
matches), functions see the emulator's own packages and environment variables, a failed handler costs its warm
process, and a silent handler waits 50 ms for log lines that never come.

Here each environment is one process of ``function_process.py``, run by the interpreter in DYNAURORA_RUNTIME_PYTHON
(by default the emulator's own), or forked from one that is (``forks``), with nothing but the function's package, its
layers and that interpreter's packages in reach.

=============================  =================================================================================
what happens in the function   what the caller sees
=============================  =================================================================================
handler raises                 errorType = the exception's class name, with stackTrace; the process lives on
handler cannot be loaded       ``Runtime.ImportModuleError``, ``.HandlerNotFound``, ``.UserCodeSyntaxError``
process ends (exit, signal)    ``Runtime.ExitError``: ``… Error: Runtime exited with error: signal: killed``
longer than Timeout            ``Sandbox.Timedout``: ``… Error: Task timed out after 3.00 seconds``
response over 6,291,556 bytes  ``Function.ResponseSizeTooLarge``
request over 6,291,456 bytes   HTTP 413 ``RequestEntityTooLargeException``
=============================  =================================================================================

At most DYNAURORA_WARM_FUNCTIONS processes, 64 unless told, wait for another invocation: those that wait longest are
ended, as AWS ends environments when it sees fit. A hundred replications have more than two hundred functions.

How long an invocation took is put as the metric ``Duration``, whoever invoked; the emulator puts it of requests alone.

With DYNAURORA_DEATHS, processes can be killed in the middle of an invocation (``deaths``).

Sources: Lambda developer guide, "Understanding retry behavior" and "Lambda quotas" (6 MB each for request and
response); Step Functions developer guide, "Handling errors" (Lambda.TooManyRequestsException, Sandbox.Timedout);
"Types of metrics for Lambda functions".

Not emulated: the memory limit, freezing between invocations, SnapStart hooks, detection of recursive invocations.
"""

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ministack.core import lambda_runtime as emulator_runtime
from ministack.core import responses
from ministack.services import lambda_svc

from local.emulator import clocks, embedded_metrics, forks, packages
from local.emulator.replacements import Replacements

logger = logging.getLogger("dynaurora.lambda")

MAXIMUM_REQUEST_BYTES = 6_291_456
"""Largest payload of a synchronous invocation (Lambda quotas: 6 MB)."""

MAXIMUM_ASYNCHRONOUS_REQUEST_BYTES = 1_048_576
"""Largest payload of an asynchronous invocation (Lambda quotas: 1 MB)."""

INIT_SECONDS = 10.0
"""How long loading a handler may take before it counts against the function's own timeout (Lambda developer guide,
"Init phase")."""

EXIT_SECONDS = 2.0
"""How long a process that has closed its socket may take to end by itself before it is killed."""

DAEMON_VARIABLE = "DYNAURORA_XRAY_DAEMON"
"""Names the address, `127.0.0.1:2000`, of what takes the functions' traces by UDP; without it they send none."""

WARM_VARIABLE = "DYNAURORA_WARM_FUNCTIONS"
MOST_WARM = 64
"""Processes that wait, of all functions together: each has some 45 MB of its own."""

_STARTS = threading.BoundedSemaphore(2 * (os.cpu_count() or 1))
"""Processes that start at the same time: where a hundred do on few processors, none is up before its time is over."""

_KILL_AGAIN_SECONDS = 0.05
_READ_BYTES = 1 << 18
FunctionProcess: TypeAlias = subprocess.Popen[bytes] | forks.ForkedProcess
_LOG_READS_AFTER_RESPONSE = 64
"""Enough to empty a full pipe; a bound, since a function's own thread might never stop writing."""


@dataclass(frozen=True)
class Outcome:
    """How one invocation ended: a result, or an error document; and what the function logged meanwhile."""

    log: str
    result: str | None = None
    error: dict[str, Any] | None = None

    def as_execution_result(self) -> dict[str, Any]:
        """In the shape in which the emulator's executors answer; the result stays the JSON text that it is."""
        if self.error is not None:
            return {"body": self.error, "error": True, "function_error": "Unhandled", "log": self.log}
        return {"body": self.result, "raw_payload": True, "log": self.log}


class ProcessEndedError(Exception):
    """The function's process ended before it answered."""


class DeadlinePassedError(Exception):
    """The function's process did not answer in time."""


class ExecutionEnvironment:
    """One warm process of one function. The emulator's pool leases it to one invocation at a time.

    The attributes ``in_use``, ``last_used``, ``config``, ``_proc``, ``_lock``, ``_cold`` and the methods ``_spawn``,
    ``_discard_tmpdir`` and ``kill`` are what that pool reads and calls.
    """

    def __init__(self, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
        self.func_name = func_name
        self.config = config
        self.code_zip = code_zip
        self.in_use = False
        self.retired = False
        self.last_used = time.time()
        self._lock = threading.Lock()
        self._cold = True
        self._ended = False
        self._proc: FunctionProcess | None = None
        self._channel: Channel | None = None
        self._temporary: Path | None = None
        self._init_error: dict[str, Any] | None = None

    def invoke(self, payload: bytes, request_id: str, function_arn: str, trace_id: str | None) -> Outcome:
        """Run one invocation with ``payload`` (JSON) as its event; never raises for what the function does."""
        with self._lock:
            try:
                return self._invoke_in_process(payload, request_id, function_arn, trace_id)
            except ProcessEndedError:
                return self._report_exit(request_id)
            except DeadlinePassedError:
                return self._report_timeout(request_id)

    def kill(self) -> None:
        """End the process, with whatever it started."""
        emulator_runtime.kill_workers([self])

    def _invoke_in_process(self, payload: bytes, request_id: str, function_arn: str, trace_id: str | None) -> Outcome:
        if self._ended:
            raise ProcessEndedError
        if self._proc is None or self._channel is None or self._proc.poll() is not None:
            self._spawn()
        channel = self._channel
        if self._init_error is not None or channel is None:
            document = {**(self._init_error or {}), "requestId": request_id}
            return Outcome(log=self._end_process(), error=document)
        seconds = _timeout_seconds(self.config)
        invocation = {
            "request_id": request_id,
            "function_arn": function_arn,
            "deadline": time.time() + seconds,
            "trace_id": trace_id,
        }
        answer = channel.exchange([json.dumps(invocation).encode(), payload], time.monotonic() + seconds)
        log = channel.take_log()
        if answer[:1] == b"R":
            return Outcome(log=log, result=answer[1:].decode())
        return Outcome(log=log, error=json.loads(answer[1:]))

    def _spawn(self) -> None:
        """Start a process and wait until it has loaded its handler, or could not; as many at once as _STARTS has."""
        with _STARTS:
            self._spawn_now()

    def _spawn_now(self) -> None:
        self._release()
        self._temporary = Path(tempfile.mkdtemp(prefix=f"function-{self.func_name}-"))
        package = packages.unpack(self.code_zip)
        self._proc, self._channel = _start_process(
            _import_directories(package, self.config), package, _environment(self.config, package, self._temporary)
        )
        self._init_error = None
        answer = self._channel.exchange([], time.monotonic() + INIT_SECONDS + _timeout_seconds(self.config))
        if answer[:1] == b"E":
            self._init_error = json.loads(answer[1:])
        self._cold = False

    def _report_exit(self, request_id: str) -> Outcome:
        process = self._proc
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(EXIT_SECONDS)  # it may have closed its socket and still be on its way out
        log = self._end_process()
        message = f"RequestId: {request_id} Error: {_describe_exit(process)}"
        document = {"errorType": "Runtime.ExitError", "errorMessage": message}
        return Outcome(log=f"{log}{message}\nRuntime.ExitError\n", error=document)

    def _report_timeout(self, request_id: str) -> Outcome:
        log = self._end_process()
        reason = f"Task timed out after {_timeout_seconds(self.config):.2f} seconds"
        document = {"errorType": "Sandbox.Timedout", "errorMessage": f"RequestId: {request_id} Error: {reason}"}
        return Outcome(log=f"{log}{responses.now_iso()} {request_id} {reason}\n", error=document)

    def _end_process(self) -> str:
        """Kill what is left of the environment; the next invocation starts a new one. Returns what it still logged."""
        self._kill_process()
        process, channel = self._proc, self._channel
        self._proc = self._channel = None
        if process is not None:
            process.wait()
        if channel is None:
            return ""
        log = channel.take_log()
        channel.close()
        return log

    def _discard_tmpdir(self) -> None:
        """End the environment for good. The pool calls this; an invocation that is under way ends with its process."""
        self._ended = True
        while not self._lock.acquire(timeout=_KILL_AGAIN_SECONDS):
            self._kill_process()
        try:
            self._kill_process()
            self._release()
        finally:
            self._lock.release()

    def _kill_process(self) -> None:
        """Kill the process with everything that it has started."""
        process = self._proc
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _release(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None


class Channel:
    """The parent's ends of a function process: control socket, log pipe and lifeline."""

    def __init__(self, control: socket.socket, log: int, lifeline: int) -> None:
        self._control = control
        self._log = log
        self._lifeline = lifeline
        self._logged = bytearray()
        control.setblocking(False)
        os.set_blocking(log, False)

    def exchange(self, frames: list[bytes], deadline: float) -> bytes:
        """Send frames and receive one, collecting the log meanwhile so that neither side ever waits for a full pipe.

        ``deadline`` is on the monotonic clock. Raises ProcessEndedError or DeadlinePassedError.
        """
        outgoing = memoryview(b"".join(len(frame).to_bytes(8, "big") + frame for frame in frames))
        incoming = bytearray()
        poller = select.poll()
        poller.register(self._log, select.POLLIN)
        poller.register(self._control, select.POLLIN | (select.POLLOUT if outgoing else 0))
        while not _is_complete(incoming):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise DeadlinePassedError
            for descriptor, events in poller.poll(remaining * 1000):
                if descriptor == self._log:
                    if not self._read_log():
                        poller.unregister(self._log)
                elif events & select.POLLOUT and outgoing:
                    outgoing = outgoing[self._send(outgoing) :]
                    if not outgoing:
                        poller.modify(self._control, select.POLLIN)
                else:
                    incoming += self._receive()
        return bytes(incoming[8:])

    def take_log(self) -> str:
        """Everything logged since the last call, including what was written just before the answer."""
        for _ in range(_LOG_READS_AFTER_RESPONSE):
            if not self._read_log():
                break
        text = self._logged.decode(errors="replace")
        self._logged.clear()
        return text

    def close(self) -> None:
        """Close every descriptor; the process, if it still runs, ends itself."""
        self._control.close()
        os.close(self._log)
        os.close(self._lifeline)

    def _read_log(self) -> bool:
        """Read what is there. False if nothing is, or the process has closed it."""
        try:
            chunk = os.read(self._log, _READ_BYTES)
        except BlockingIOError:
            return False
        self._logged += chunk
        return bool(chunk)

    def _send(self, data: memoryview) -> int:
        try:
            return self._control.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ProcessEndedError from error

    def _receive(self) -> bytes:
        try:
            chunk = self._control.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise ProcessEndedError from error
        if not chunk:
            raise ProcessEndedError
        return chunk


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    runtime, service = emulator_runtime.__name__, lambda_svc.__name__
    emulator.require(runtime, "kill_workers", "(workers) -> None")
    emulator.require(runtime, "execution_credentials", "(config: dict) -> dict[str, str]")
    emulator.require(
        runtime,
        "acquire_worker",
        "(func_name: str, config: dict, code_zip: bytes, qualifier: str = '$LATEST', "
        "max_concurrency: int | None = None)",
    )
    emulator.require(runtime, "release_worker", "(worker: ministack.core.lambda_runtime.Worker) -> None")
    emulator.require(service, "_resolve_layer_zip", "(attachment: str | dict) -> bytes | None")
    emulator.require(service, "_runtime_env_vars", "(config: dict) -> dict")
    emulator.require(service, "_durable_env_overlay", "() -> dict[str, str]")
    emulator.require(service, "_ensure_reaper_thread", "() -> None")
    emulator.require(
        service,
        "_xray_trace_id_for_invocation",
        "(config: dict, inbound_trace_header: str | None = None) -> str | None",
    )
    invalidate = "(func_name: str, qualifier: str = None, account: str = None, region: str = None)"
    emulator.replace(runtime, "invalidate_worker", invalidate, retire_environments)
    emulator.replace(service, "invalidate_worker", invalidate, retire_environments)
    emulator.wrap(runtime, "_worker_class_for", "(config: dict)", _choose_environments)
    emulator.wrap(
        service, "_execute_function_warm", "(func: dict, event: dict, request_id: str) -> dict", _execute_python_here
    )
    emulator.wrap(
        service,
        "_emit_lambda_metrics",
        "(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None",
        _leave_out_durations,
    )
    emulator.wrap(
        service,
        "_invoke",
        "(name: str, event: dict, headers: dict, path_qualifier: str | None = None, query_params: dict | None = None)",
        _refuse_large_requests,
    )


def retire_environments(
    func_name: str, qualifier: str | None = None, account: str | None = None, region: str | None = None
) -> None:
    """Use none of a function's environments again, since its code or settings have changed or it is gone.

    Those that wait are ended; one that serves an invocation finishes it first, as on AWS.
    """
    wanted = (account, region, func_name, qualifier)
    with emulator_runtime._lock:
        keys = [key for key in emulator_runtime._workers if _names(key, wanted)]
        retired = [environment for key in keys for environment in emulator_runtime._workers.pop(key)]
        for environment in retired:
            environment.retired = True
        idle = [environment for environment in retired if not environment.in_use]
    emulator_runtime.kill_workers(idle)


def _names(key: str, wanted: tuple[str | None, ...]) -> bool:
    """Whether a pool's key, ``account:region:function:qualifier``, is one of those wanted; None stands for any."""
    return all(part is None or part == found for part, found in zip(wanted, key.split(":"), strict=True))


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


def _choose_environments(original: Any) -> Any:
    def choose(config: dict[str, Any]) -> Any:
        return ExecutionEnvironment if _is_python(config) else original(config)

    return choose


def _execute_python_here(original: Any) -> Any:
    def execute(func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        config, package = func.get("config") or func, func.get("code_zip")
        if not _is_python(config) or not package or lambda_svc._durable_env_overlay():
            executed: dict[str, Any] = original(func, event, request_id)
            return executed
        return _execute(config, package, event, request_id)

    return execute


def _execute(config: dict[str, Any], package: bytes, event: Any, request_id: str) -> dict[str, Any]:
    lambda_svc._ensure_reaper_thread()
    environment, _ = emulator_runtime.acquire_worker(
        config["FunctionName"], config, package, qualifier=config.get("Version", "$LATEST")
    )
    began = time.monotonic()
    try:
        outcome: Outcome = environment.invoke(
            json.dumps(event).encode(),
            request_id,
            config.get("FunctionArn", ""),
            lambda_svc._xray_trace_id_for_invocation(config),
        )
    finally:
        _record_duration(config["FunctionName"], (time.monotonic() - began) * 1000)
        emulator_runtime.release_worker(environment)
        if environment.retired:
            environment.kill()
        end_longest_idle(int(os.environ.get(WARM_VARIABLE, MOST_WARM)))
    return outcome.as_execution_result()


def _record_duration(function: str, milliseconds: float) -> None:
    metric, dimensions = {"Name": "Duration", "Unit": "Milliseconds"}, {"FunctionName": function}
    embedded_metrics.record("AWS/Lambda", metric, dimensions, time.time(), milliseconds)


def _leave_out_durations(original: Any) -> Any:
    def emit(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:  # noqa: ARG001
        original(function_name, duration_ms=0.0, error=error, throttle=throttle)

    return emit


def end_longest_idle(most: int) -> None:
    """End the environments that have waited longest, where more than so many wait."""
    with emulator_runtime._lock:
        waiting = [(key, each) for key, pool in emulator_runtime._workers.items() for each in pool if not each.in_use]
        if len(waiting) <= most:
            return
        waiting.sort(key=lambda found: found[1].last_used)
        ended = waiting[: len(waiting) - most]
        for key, environment in ended:
            emulator_runtime._workers[key].remove(environment)
            environment.retired = True
    emulator_runtime.kill_workers([environment for _, environment in ended])


def _refuse_large_requests(original: Any) -> Any:
    async def invoke(
        name: str,
        event: Any,
        headers: dict[str, str],
        path_qualifier: str | None = None,
        query_params: dict[str, Any] | None = None,
    ) -> Any:
        asynchronous = headers.get("x-amz-invocation-type") == "Event"
        limit = MAXIMUM_ASYNCHRONOUS_REQUEST_BYTES if asynchronous else MAXIMUM_REQUEST_BYTES
        if int(headers.get("content-length") or 0) > limit:
            return responses.error_response_json(
                "RequestEntityTooLargeException",
                f"Request must be smaller than {limit} bytes for the InvokeFunction operation",
                413,
            )
        return await original(name, event, headers, path_qualifier, query_params)

    return invoke


def _timeout_seconds(config: dict[str, Any]) -> float:
    return float(config.get("Timeout") or 3)


def _is_complete(incoming: bytearray) -> bool:
    return len(incoming) >= 8 and len(incoming) - 8 >= int.from_bytes(incoming[:8], "big")


def _describe_exit(process: FunctionProcess | None) -> str:
    """Return what AWS says of a runtime that ended: the signal's name, the exit status, or nothing for status 0."""
    code = process.returncode if process is not None else -signal.SIGKILL
    if code is None or code == 0:
        return "Runtime exited without providing a reason"
    if code < 0:
        return f"Runtime exited with error: signal: {(signal.strsignal(-code) or str(-code)).lower()}"
    return f"Runtime exited with error: exit status {code}"


def _start_process(paths: list[Path], directory: Path, environment: dict[str, str]) -> tuple[FunctionProcess, Channel]:
    """Start a function's process: by a fork where that can be, else by itself."""
    control, control_of_child = socket.socketpair()
    log, log_of_child = os.pipe()
    lifeline_of_child, lifeline = os.pipe()
    python = os.environ.get("DYNAURORA_RUNTIME_PYTHON") or sys.executable
    try:
        descriptors = (control_of_child.fileno(), lifeline_of_child, log_of_child)
        process: FunctionProcess | None = None
        if clocks.VARIABLE not in environment:  # whoever's clock is off must not have imported anything before
            process = forks.start_process(python, paths, directory, environment, descriptors)
        if process is None:
            process = _start_by_itself(python, paths, directory, environment, descriptors)
    finally:
        control_of_child.close()
        os.close(log_of_child)
        os.close(lifeline_of_child)
    return process, Channel(control, log, lifeline)


def _start_by_itself(
    python: str, paths: list[Path], directory: Path, environment: dict[str, str], descriptors: tuple[int, int, int]
) -> "subprocess.Popen[bytes]":
    """Start ``function_process.py`` in isolated mode: no PYTHON* variables, user packages or current directory."""
    control, lifeline, log = descriptors
    program = str(Path(__file__).with_name("function_process.py"))
    return subprocess.Popen(
        [python, "-I", program, str(control), str(lifeline), *map(str, paths)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(control, lifeline),
        cwd=directory,
        env=environment,
        process_group=0,
    )


def _import_directories(package: Path, config: dict[str, Any]) -> list[Path]:
    """List what ``sys.path`` begins with: the package, then each layer's ``python`` directories."""
    directories = [package]
    for layer in config.get("Layers") or []:
        archive = lambda_svc._resolve_layer_zip(layer)
        if archive:
            python = packages.unpack(archive) / "python"
            directories += [python, *sorted(python.glob("lib/python*/site-packages"))]
    return directories


def _tracing() -> dict[str, str]:
    """Return where a function sends its traces: to whoever listens there as X-Ray's daemon, or nowhere."""
    daemon = os.environ.get(DAEMON_VARIABLE)
    if not daemon:
        return {"POWERTOOLS_TRACE_DISABLED": "true", "AWS_XRAY_SDK_ENABLED": "false"}
    return {"AWS_XRAY_DAEMON_ADDRESS": daemon, "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR"}


def _environment(config: dict[str, Any], package: Path, temporary: Path) -> dict[str, str]:
    """Return a function's environment: Lambda's own variables, the function's, and where the local AWS is.

    Nothing of the emulator's. Lambda developer guide, "Defined runtime environment variables".
    """
    account_region = emulator_runtime._account_region_from_function_config(config)
    name = config["FunctionName"]
    defaults = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ.get('GATEWAY_PORT', '4566')}",
        "LANG": "en_US.UTF-8",
        "PATH": os.defpath,
        "TZ": ":UTC",
        **_tracing(),
    }
    logging_config = config.get("LoggingConfig") or {}
    reserved = {
        "_HANDLER": config["Handler"],
        "AWS_REGION": account_region[1],
        "AWS_DEFAULT_REGION": account_region[1],
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": logging_config.get("LogGroup") or f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_FORMAT": logging_config.get("LogFormat") or "Text",
        **({"AWS_LAMBDA_LOG_LEVEL": level} if (level := logging_config.get("ApplicationLogLevel")) else {}),
        "AWS_LAMBDA_LOG_STREAM_NAME": responses.new_uuid(),
        "LAMBDA_TASK_ROOT": str(package),
        "TMPDIR": str(temporary),
        **({"DYNAURORA_DEATHS": f"{deaths}/{name}"} if (deaths := os.environ.get("DYNAURORA_DEATHS")) else {}),
        **{key: value for key, value in emulator_runtime.execution_credentials(config).items() if value},
    }
    return {**defaults, **lambda_svc._runtime_env_vars(config), **reserved}
