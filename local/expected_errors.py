"""What can be wrong with a machine or a checkout: errors whose message is all that a person needs."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from dynaurora.errors import DynauroraError
from infra.build_package import PackageError
from infra.packaging import PackagingError
from local.aurora.engine import DatabaseServerError
from local.deployment import DeploymentError
from local.items import ItemsError
from local.lifecycle import LifecycleError
from local.processes import ProcessError
from local.running import RolesMismatchError
from local.venvs import EnvironmentCreationError

EXPECTED: Final[tuple[type[Exception], ...]] = (
    BotoCoreError,
    ClientError,
    DatabaseServerError,
    DeploymentError,
    DynauroraError,
    EnvironmentCreationError,
    ItemsError,
    LifecycleError,
    PackageError,
    PackagingError,
    ProcessError,
    RolesMismatchError,
)
"""The errors that the commands end with, without a traceback."""
