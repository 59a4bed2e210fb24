"""Imports a batch and dies by SIGKILL at a given statement: argument `before:3` or `after:3`, then the import as JSON.

`after` dies when the statement has been sent and its answer not yet read, when nobody knows what became of it.
"""

import json
import os
import signal
import sys
from typing import Any

from pymysql.connections import Connection

from dynaurora.aurora.connection import Credentials, Endpoint, connect
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
    when, _, number = sys.argv[1].partition(":")
    order = json.loads(sys.argv[2])
    die_at(when, int(number))
    with connect(Endpoint(**order["endpoint"]), Credentials(**order["credentials"]), load_from_s3=True) as aurora:
        result = import_batch(
            Batch.from_event(order),
            load_example(),
            aurora,
            S3Objects(),
            order["bucket"],
            RefusedRows(S3Objects(), order["bucket"], "dying"),
        )
    print(result.status)  # noqa: T201 (the test reads it)


if __name__ == "__main__":
    main()
