"""Settings of the functions: one immutable class each, read once from the environment and checked there.

Nothing else reads the environment.

They are no dataclasses: code for each of them would be made at every start of every function, which needs one.
"""

from __future__ import annotations

import os
from typing import Any, Final, Literal, Self, get_args, get_type_hints

from dynaurora.errors import InvalidSettingsError

SECRET_SECONDS: Final = 300
"""For which a process keeps what it has read of the loader's secret, unless the database refuses it."""


class Settings:
    """What functions know: a value for each annotation. Its environment variable is its name in capitals."""

    def __init__(self, **values: Any) -> None:
        """Take the values of all fields."""
        if values.keys() != self.list_fields().keys():
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.list_fields())}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse to be changed."""
        raise AttributeError(f"{type(self).__name__}.{name} is read once, and stays as it is")

    @classmethod
    def list_fields(cls) -> dict[str, Any]:
        """Return the names of the fields, and the type of each."""
        return get_type_hints(cls)

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings in the environment.

        Raises InvalidSettingsError, naming each variable that is missing or wrong.
        """
        values, problems = dict[str, Any](), list[str]()
        for name, kind in cls.list_fields().items():
            variable = name.upper()
            text = os.environ.get(variable, "")
            if not text and name not in OPTIONAL:
                problems.append(f"{variable} is not set")
                continue
            try:
                values[name] = _read(text, kind)
            except ValueError as error:
                problems.append(f"{variable} is {text!r}: {error}")
        if problems:
            raise InvalidSettingsError("; ".join(problems) + ".")
        return cls(**values)


OPTIONAL = frozenset({"database_ca", "database_network"})


class ReplicationSettings(Settings):
    """Settings of every function that works for one mapping; the others are told with each event which one it is of."""

    mapping: str
    """The mapping of the replicated table, `web_analytics`."""


class ForwardChangesSettings(ReplicationSettings):
    """Settings of forward_changes."""

    delivery_stream: str
    """The Firehose stream's name."""
    landing_bucket: str
    """The bucket of the failed prefix."""
    ttl_deletes: Literal["replicate", "ignore"]
    """What becomes of deletes by Time to Live: replicated, or ignored so that Aurora keeps expired items' rows."""


class TransformChangesSettings(ReplicationSettings):
    """Settings of transform_changes."""

    landing_bucket: str
    """The bucket of the registry, and of what is refused."""


class DatabaseSettings(Settings):
    """Settings of every function that connects to Aurora."""

    database_host: str
    """The cluster's writer endpoint."""
    database_port: int
    database_secret_arn: str
    """The secret with the loader's user and password."""
    database_ca: str
    """The certificate authority of the database, PEM; empty for Amazon RDS's own."""


class PrepareTargetSettings(DatabaseSettings):
    """Settings of prepare_target."""

    database_admin_secret_arn: str
    """The secret with a user who may create tables and users."""
    database_network: str
    """The addresses that the database is reached from, `10.60.0.0/24` for one; empty where they are not known."""
    landing_bucket: str
    """The bucket that the database loads from."""
    import_concurrency: int
    """Most batches that are imported at the same time, 0 for unbounded: so many permanent tables there are, if any."""


class RegisterReplicationSettings(Settings):
    """Settings of register_replication."""

    landing_bucket: str
    """The bucket of the registry."""


class ChangeMappingSettings(Settings):
    """Settings of change_mapping."""

    database_host: str
    """The cluster's writer endpoint."""
    database_port: int
    database_admin_secret_arn: str
    """The secret with a user who may create tables."""
    database_ca: str
    """The certificate authority of the database, PEM; empty for Amazon RDS's own."""
    landing_bucket: str
    """The bucket of the registry."""


class RotateLoaderSecretSettings(DatabaseSettings):
    """Settings of rotate_loader_secret."""


class CheckTargetSettings(DatabaseSettings):
    """Settings of check_target."""

    landing_bucket: str
    """The bucket of the registry, which the database loads from."""


class ImportBatchSettings(DatabaseSettings):
    """Settings of import_batch."""

    landing_bucket: str
    """The bucket that load manifests are written to."""
    import_concurrency: int
    """Most batches that are imported at the same time, 0 for unbounded."""


class RecordFailedBatchSettings(Settings):
    """Settings of record_failed_batch."""

    landing_bucket: str
    """The bucket of the failed batches."""
    notice_interval_seconds: int
    """For how long people are not told again of the same cause."""


class OpenRunSettings(DatabaseSettings):
    """Settings of open_run."""

    landing_bucket: str
    """The bucket of the registry."""
    import_concurrency: int
    """Most batches that are imported at the same time, 0 for unbounded."""
    backfill_concurrency: int
    """Most batches that a run converts and imports at the same time, where it asks for no other number."""


class CheckReadinessSettings(Settings):
    """Settings of check_readiness."""

    landing_bucket: str
    """The bucket that the table is exported to."""


class PlanBackfillSettings(Settings):
    """Settings of plan_backfill."""

    landing_bucket: str
    """The bucket that the plan is written to."""


class ConvertExportSettings(Settings):
    """Settings of convert_export."""

    landing_bucket: str
    """The bucket that batches, and what is refused, are written to."""


class ReconcileRunSettings(DatabaseSettings):
    """Settings of reconcile_run."""

    landing_bucket: str
    """The bucket of the registry."""


class PlanSweepSettings(DatabaseSettings):
    """Settings of plan_sweep."""

    landing_bucket: str
    """The bucket that batches of tombstones are written to."""


class ReportRunSettings(Settings):
    """Settings of report_run."""

    landing_bucket: str
    """The bucket of the reports, and of the failed batches that they name."""
    convert_memory_mb: int
    """The memory of convert_export, for the estimate of costs."""
    import_memory_mb: int
    """The memory of import_batch, for the estimate of costs."""
    notice_interval_seconds: int
    """For how long people are not told again of the same cause."""


class ListFailuresSettings(Settings):
    """Settings of list_failures."""

    landing_bucket: str
    """The bucket of the failures."""


class ConvertFailuresSettings(Settings):
    """Settings of convert_failures."""

    landing_bucket: str
    """The bucket of the failures, and of the batches that they become."""
    max_attempts: int
    """How often a record is mapped again before it is parked."""


class SettleFailuresSettings(DatabaseSettings):
    """Settings of settle_failures."""

    landing_bucket: str
    """The bucket of the failures, and of the registry."""
    max_attempts: int
    """How often a batch is imported again before it is parked."""
    notice_interval_seconds: int
    """For how long people are not told again of the same cause."""


class MeasureHealthSettings(Settings):
    """Settings of measure_health."""

    landing_bucket: str
    """The bucket of the failures, and of what is known of the replications."""
    platform: str
    """The platform's name, by which what is measured of all its replications is told from another's."""
    import_batch_arn: str
    """The state machine that imports batches."""


class CloseRunSettings(DatabaseSettings):
    """Settings of close_run."""

    landing_bucket: str
    """The bucket of the plan, which a run that was stopped cannot bring along."""


class DescribeRunsSettings(DatabaseSettings):
    """Settings of describe_runs."""

    landing_bucket: str
    """The bucket of the registry."""


class CompareRowsSettings(DatabaseSettings):
    """Settings of compare_rows."""

    landing_bucket: str
    """The bucket of the registry."""


class JudgeDifferencesSettings(Settings):
    """Settings of judge_differences."""

    landing_bucket: str
    """The bucket of the registry, of what comparing found, and of what waits or is kept as failed."""
    compare_rows_function: str
    """The function that looks rows up."""
    settle_seconds: int
    """What a change takes at most until it is in the bucket, unless the stream is late."""


class PurgeReplicasSettings(DatabaseSettings):
    """Settings of purge_replicas."""

    landing_bucket: str
    """The bucket of the registry, and of all that may still be imported."""
    purge_after_days: int
    """For how many days at the least everything is kept."""


class FindUnimportedSettings(DatabaseSettings):
    """Settings of find_unimported."""

    landing_bucket: str
    """The bucket of the batches, and of the registry."""
    batch_retention_days: int
    """For how many days it has batches that were imported."""


def _read(text: str, kind: Any) -> Any:
    if kind is int:
        return int(text)
    choices = get_args(kind)
    if choices and text not in choices:
        raise ValueError(f"it must be one of {', '.join(choices)}")
    return text
