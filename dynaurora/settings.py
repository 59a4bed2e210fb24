"""Settings of the functions: one frozen dataclass each, read once from the environment and checked there.

Nothing else reads the environment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args, get_type_hints

from dynaurora.errors import InvalidSettingsError


@dataclass(frozen=True)
class Settings:
    """What every function knows. A field's environment variable is its name in capitals."""

    mapping: str
    """The mapping of the replicated table, `web_analytics`."""

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings in the environment.

        Raises InvalidSettingsError, naming each variable that is missing or wrong.
        """
        kinds = get_type_hints(cls)
        values: dict[str, Any] = {}
        problems: list[str] = []
        for entry in fields(cls):
            variable = entry.name.upper()
            text = os.environ.get(variable, "")
            if not text and entry.name not in OPTIONAL:
                problems.append(f"{variable} is not set")
                continue
            try:
                values[entry.name] = _read(text, kinds[entry.name])
            except ValueError as error:
                problems.append(f"{variable} is {text!r}: {error}")
        if problems:
            raise InvalidSettingsError("; ".join(problems) + ".")
        return cls(**values)


OPTIONAL = frozenset({"database_ca"})


@dataclass(frozen=True)
class ForwardChangesSettings(Settings):
    """Settings of forward_changes."""

    delivery_stream: str
    """The Firehose stream's name."""
    landing_bucket: str
    """The bucket of the failed prefix."""
    ttl_deletes: Literal["replicate", "ignore"]
    """What becomes of deletes by Time to Live: replicated, or ignored so that Aurora keeps expired items' rows."""


@dataclass(frozen=True)
class TransformChangesSettings(Settings):
    """Settings of transform_changes."""


@dataclass(frozen=True)
class ImportBatchSettings(Settings):
    """Settings of import_batch."""

    landing_bucket: str
    """The bucket that load manifests are written to."""
    database_host: str
    """The cluster's writer endpoint."""
    database_port: int
    database_secret_arn: str
    """The secret with the loader's user and password."""
    database_ca: str
    """The certificate authority of the database, PEM; empty for Amazon RDS's own."""


@dataclass(frozen=True)
class RecordFailedBatchSettings(Settings):
    """Settings of record_failed_batch."""

    landing_bucket: str
    """The bucket of the failed batches."""


def _read(text: str, kind: Any) -> Any:
    if kind is int:
        return int(text)
    choices = get_args(kind)
    if choices and text not in choices:
        raise ValueError(f"it must be one of {', '.join(choices)}")
    return text
