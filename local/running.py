"""The running local AWS, reached: its API, its database and what is deployed in it."""

from __future__ import annotations

import os
import shutil
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.connection import Credentials, Endpoint, connect
from local.api import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Api
from local.aurora.engines import find_engine
from local.deployment import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dynaurora.aurora.connection import Aurora
    from local.deployment import Deployment
    from local.state import State

HEALTH_TIMEOUT_SECONDS: Final = 5.0


class RolesMismatchError(Exception):
    """A running local AWS enforces roles and AUTH does not ask for it, or the other way round."""


def find_api(state: State) -> Api:
    """Return the API of a running local AWS."""
    return Api(state.endpoint_url, state.region)


def find_database(state: State) -> Database:
    """Return the database of a running local AWS."""
    aurora = state.aurora
    return Database(
        Endpoint(aurora.host, aurora.port, Path(aurora.ca_file).read_text("ascii")),
        administrator=Credentials(aurora.user, aurora.password),
    )


@contextmanager
def connect_administrator(state: State) -> Iterator[Aurora]:
    """Open a connection to the local Aurora as its administrator, and close it in the end."""
    database = find_database(state)
    with connect(database.endpoint, database.administrator) as aurora:
        # Each question is to see what has been committed by then.
        aurora.execute("SET SESSION autocommit = 1")
        yield aurora


def describe(state: State, deployments: Sequence[Deployment]) -> dict[str, Any]:
    """Return where everything is, for machines; `table` and `delivery_stream` where one table is replicated."""
    aurora, (deployment, *others) = state.aurora, deployments
    only = {"table": deployment.table, "delivery_stream": deployment.delivery_stream}
    return {
        "endpoint_url": state.endpoint_url,
        "region": state.region,
        **({} if others else only),
        "bucket": deployment.bucket,
        "state_machines": {
            "import_batch": deployment.import_batch_arn,
            "backfill_table": deployment.backfill_table_arn,
        },
        "aurora": {
            "host": aurora.host,
            "port": aurora.port,
            "user": aurora.user,
            "password": aurora.password,
            "database": aurora.database,
        },
        "replications": {one.mapping.name: describe_replication(one) for one in deployments},
    }


def describe_replication(deployment: Deployment) -> dict[str, Any]:
    """Return where one replication is, for machines."""
    mapping = deployment.mapping
    return {
        "table": deployment.table,
        "targets": [{"database": target.database, "table": target.table} for target in mapping.targets],
        "delivery_stream": deployment.delivery_stream,
    }


def describe_deployment(deployment: Deployment) -> dict[str, Any]:
    """Return where the parts of a deployment are."""
    return {
        "table": deployment.table,
        "bucket": deployment.bucket,
        "delivery_stream": deployment.delivery_stream,
        "state_machines": {
            "import_batch": deployment.import_batch_arn,
            "backfill_table": deployment.backfill_table_arn,
        },
    }


def export_variables(state: State, directory: Path) -> dict[str, str]:
    """Return the environment in which `aws`, boto3, `mysql` and `mariadb` reach the local AWS."""
    return {
        "AWS_ENDPOINT_URL": state.endpoint_url,
        "AWS_REGION": state.region,
        "AWS_DEFAULT_REGION": state.region,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "MYSQL_HOST": state.aurora.host,
        "MYSQL_TCP_PORT": str(state.aurora.port),
        "MYSQL_PWD": state.aurora.password,
        "MYSQL_HOME": str(directory / "mysql"),
    }


def find_client_directory(state: State) -> Path | None:
    """Return a directory that has a `mysql`, for the end of the PATH, or None where the PATH leads to one already."""
    return None if shutil.which("mysql") else find_engine(state.engine).find_client_directory()


UNSET_VARIABLES: Final = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "MARIADB_HOME")
"""Variables that would lead the same programs elsewhere."""


def check_roles(state: State) -> None:
    """Raise RolesMismatchError where AUTH asks for other than what the running local AWS does."""
    with urllib.request.urlopen(  # noqa: S310  # an address of this machine
        f"{state.endpoint_url}/_ministack/health", timeout=HEALTH_TIMEOUT_SECONDS
    ) as answer:
        enforced = b'"auth": "enabled"' in answer.read()
    if enforced != (os.environ.get("AUTH", "").lower() == "true"):
        does = "enforces the functions' roles" if enforced else "does not enforce the functions' roles"
        raise RolesMismatchError(
            f"The local AWS that runs {does}, and AUTH asks for the opposite: run `dynaurora local down` first."
        )
