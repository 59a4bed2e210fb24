"""Start the emulator with the behaviours of this package in place.

Configured by environment variables. The emulator's own: GATEWAY_PORT, BIND_HOST (127.0.0.1 unless set), TMPDIR,
STATE_DIR, S3_DATA_DIR, AUTH. Ours: DYNAURORA_RUNTIME_PYTHON, the interpreter that functions run with, and those that
the behaviours name (DYNAURORA_WAIT_SCALE, DYNAURORA_EXPORT_SECONDS and others).

SIGTERM and SIGINT stop it in order: what delivery streams have accepted is delivered while the API still answers,
then the server stops, then the functions' processes end.
"""

import asyncio
import gc
import importlib
import importlib.metadata
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from local.emulator.replacements import EmulatorChangedError, Replacements

EMULATOR_VERSION = "1.5.33"
"""The version whose functions the behaviours replace; the same as in requirements/emulator.txt."""

SWITCH_SECONDS = 0.0005
"""After which a thread gives way to others: requests are answered by one that waits for it, beside many that work."""

logger = logging.getLogger("dynaurora")


def main() -> None:
    """Run the local AWS until it is told to stop. Exits with status 1, saying what changed, on any other emulator."""
    _prepare_environment()
    _check_interpreter()
    try:
        install_behaviours()
    except (EmulatorChangedError, ValueError) as error:  # another emulator, or a variable that no behaviour can read
        sys.exit(str(error))
    _run()


def install_behaviours() -> None:
    """Put every behaviour in its place.

    Raises EmulatorChangedError if the emulator differs, ValueError if an environment variable does not say what it
    should; both change nothing.
    """
    _check_version()
    try:
        from local.emulator import (
            account_limits,
            alarms,
            arithmetic,
            authorization,
            change_log,
            clusters,
            custom_resources,
            delivery_streams,
            distributed_maps,
            embedded_metrics,
            executions,
            item_values,
            lambda_runtime,
            mocked_tasks,
            nested_executions,
            nested_stacks,
            object_errors,
            object_keys,
            partiql_writes,
            payload_limits,
            region_offers,
            repeated_events,
            running_functions,
            scans,
            sdk_errors,
            secret_rotation,
            stack_settings,
            status_events,
            step_functions,
            stream_mappings,
            stream_records,
            table_exports,
            table_metrics,
            wait_states,
        )
    except ImportError as error:
        raise EmulatorChangedError([f"{error.name} cannot be imported: {error}"]) from error
    replacements = Replacements()
    for behaviour in (
        authorization,
        lambda_runtime,
        account_limits,
        embedded_metrics,
        alarms,
        item_values,
        arithmetic,
        stream_records,
        stream_mappings,
        delivery_streams,
        change_log,
        partiql_writes,
        table_metrics,
        scans,
        table_exports,
        stack_settings,
        nested_stacks,
        custom_resources,
        clusters,
        region_offers,
        secret_rotation,
        step_functions,
        status_events,
        executions,
        wait_states,
        nested_executions,
        distributed_maps,
        mocked_tasks,
        payload_limits,
        sdk_errors,
        object_errors,
        object_keys,
        repeated_events,
        running_functions,
    ):
        behaviour.install(replacements)
    replacements.apply()


def _prepare_environment() -> None:
    os.environ.setdefault("BIND_HOST", "127.0.0.1")
    os.environ.update(SFTP_ENABLED="0", IOT_MTLS_ENABLED="0")  # they listen on fixed ports: two checkouts would collide
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # neither a person's credentials nor another endpoint may get into the functions


def _check_interpreter() -> None:
    interpreter = os.environ.get("DYNAURORA_RUNTIME_PYTHON") or sys.executable
    if not os.access(interpreter, os.X_OK):
        sys.exit(f"DYNAURORA_RUNTIME_PYTHON names no interpreter: {interpreter}. Set it to the one functions run with.")


def _check_version() -> None:
    try:
        found = importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != EMULATOR_VERSION:
        raise EmulatorChangedError([f"ministack {EMULATOR_VERSION} expected, {found} installed in {sys.prefix}"])


def _run() -> None:
    from ministack import app
    from ministack.core import lambda_runtime as emulator_runtime

    from local.emulator import packages

    packages.remove_all()
    sys.setswitchinterval(SWITCH_SECONDS)
    server = importlib.import_module("hypercorn.asyncio")
    server.serve = _stop_in_order(server.serve)  # type: ignore[attr-defined]
    gc.freeze()  # what was imported is there until the end: no garbage is looked for in it, again and again
    try:
        app.main()
    finally:
        emulator_runtime.reset()
        packages.remove_all()


def _stop_in_order(serve: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Make the server wait, once it is told to stop, until nothing that was accepted is left undelivered."""

    async def serve_until_drained(application: Any, config: Any) -> None:
        from ministack.core import lambda_runtime as emulator_runtime

        from local.emulator import delivery_streams

        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

        async def wait_and_drain() -> None:
            await stop.wait()
            await asyncio.to_thread(delivery_streams.drain)
            # Callers that still wait for a function get its end, so that the server need not wait for them.
            await asyncio.to_thread(emulator_runtime.reset)

        await serve(application, config, shutdown_trigger=wait_and_drain)

    return serve_until_drained
