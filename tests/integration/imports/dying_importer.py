"""Imports batches, each in a process of its own that dies by SIGKILL at a given statement.

Each line of the input is an import as JSON, with its `moment`: `before:3` or `after:3`. For each a line is answered:
the status that its process ended with, as `subprocess` has it. What they all need is made once, before they are forked.

`after` dies when the statement has been sent and its answer not yet read, when nobody knows what became of it.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from pymysql.connections import Connection

from dynaurora.aurora.connection import Credentials, Endpoint, connect
from dynaurora.aws import sdk
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch
from dynaurora.batches.import_batch import import_batch
from dynaurora.failures.refused_rows import RefusedRows
from tests.support.example import load_example


def die_at(when: str, number: int) -> None:
    send: Any = Connection._execute_command
    sent = 0

    def counted(self: Any, command: int, statement: Any) -> None:
        nonlocal sent
        sent += 1
        if sent == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        send(self, command, statement)
        if sent == number:
            os.kill(os.getpid(), signal.SIGKILL)

    Connection._execute_command = counted  # type: ignore[method-assign]


def main() -> None:
    sdk.client("s3")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            end_with(lambda line=line: import_and_die(json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 (the test reads it)


def end_with(work: Callable[[], None]) -> None:
    """Do the work, and end this process."""
    try:
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001 (whatever it is, the process ends here)
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def import_and_die(order: dict[str, Any]) -> None:
    when, _, number = order["moment"].partition(":")
    die_at(when, int(number))
    with connect(Endpoint(**order["endpoint"]), Credentials(**order["credentials"]), load_from_s3=True) as aurora:
        import_batch(
            Batch.from_event(order),
            load_example(),
            aurora,
            S3Objects(),
            order["bucket"],
            RefusedRows(S3Objects(), order["bucket"], "dying"),
        )


if __name__ == "__main__":
    main()
