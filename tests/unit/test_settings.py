import pytest

from dynaurora.errors import InvalidSettingsError
from dynaurora.settings import (
    ChangeMappingSettings,
    CheckReadinessSettings,
    CheckTargetSettings,
    CloseRunSettings,
    CompareRowsSettings,
    ConvertExportSettings,
    ConvertFailuresSettings,
    DescribeRunsSettings,
    FindUnimportedSettings,
    ForwardChangesSettings,
    ImportBatchSettings,
    ListFailuresSettings,
    OpenRunSettings,
    PlanBackfillSettings,
    PlanSweepSettings,
    PrepareTargetSettings,
    PurgeReplicasSettings,
    ReconcileRunSettings,
    RecordFailedBatchSettings,
    ReportRunSettings,
    Settings,
    SettleFailuresSettings,
    TransformChangesSettings,
)

ENVIRONMENT = {
    "MAPPING": "web_analytics",
    "DELIVERY_STREAM": "changes",
    "LANDING_BUCKET": "landing",
    "TTL_DELETES": "ignore",
    "DATABASE_HOST": "db",
    "DATABASE_PORT": "3306",
    "DATABASE_SECRET_ARN": "arn:secret",
    "DATABASE_ADMIN_SECRET_ARN": "arn:admin",
    "DATABASE_CA": "",
    "IMPORT_CONCURRENCY": "5",
    "BACKFILL_CONCURRENCY": "2",
    "CONVERT_MEMORY_MB": "1769",
    "IMPORT_MEMORY_MB": "256",
    "NOTICE_INTERVAL_SECONDS": "3600",
    "MAX_ATTEMPTS": "5",
}
DATABASE = ["DATABASE_HOST", "DATABASE_PORT", "DATABASE_SECRET_ARN"]
ADMINISTRATORS = DATABASE[:2]


@pytest.fixture
def environment(monkeypatch):
    """Return what sets the variables, after all of them were removed."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)

    def set_variables(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables


def facts(settings):
    """Return what settings are: they have no equality of their own."""
    return type(settings), vars(settings)


def test_settings_are_read_from_the_environment(environment):
    environment(**ENVIRONMENT)
    assert facts(ForwardChangesSettings.from_environment()) == facts(
        ForwardChangesSettings(
            mapping="web_analytics", delivery_stream="changes", landing_bucket="landing", ttl_deletes="ignore"
        )
    )
    assert ImportBatchSettings.from_environment().database_port == 3306
    assert TransformChangesSettings.from_environment().mapping == "web_analytics"
    assert facts(RecordFailedBatchSettings.from_environment()) == facts(
        RecordFailedBatchSettings(landing_bucket="landing", notice_interval_seconds=3600)
    )


def test_settings_of_runs_are_read_from_the_environment(environment):
    environment(**ENVIRONMENT)
    opening, reporting = OpenRunSettings.from_environment(), ReportRunSettings.from_environment()
    assert (opening.import_concurrency, opening.backfill_concurrency, opening.database_host) == (5, 2, "db")
    assert facts(reporting) == facts(
        ReportRunSettings(
            landing_bucket="landing",
            convert_memory_mb=1769,
            import_memory_mb=256,
            notice_interval_seconds=3600,
        )
    )
    assert facts(CheckReadinessSettings.from_environment()) == facts(CheckReadinessSettings(landing_bucket="landing"))
    assert facts(PlanBackfillSettings.from_environment()) == facts(PlanBackfillSettings(landing_bucket="landing"))


def test_settings_of_reprocesses_are_read_from_the_environment(environment):
    environment(**ENVIRONMENT)
    assert facts(ListFailuresSettings.from_environment()) == facts(ListFailuresSettings(landing_bucket="landing"))
    assert facts(ConvertFailuresSettings.from_environment()) == facts(
        ConvertFailuresSettings(
            landing_bucket="landing",
            max_attempts=5,
        )
    )
    settling = SettleFailuresSettings.from_environment()
    assert (settling.landing_bucket, settling.max_attempts, settling.notice_interval_seconds) == ("landing", 5, 3600)
    assert settling.database_host == "db"


def test_an_importer_without_bound_is_a_setting(environment):
    environment(**ENVIRONMENT | {"IMPORT_CONCURRENCY": "0"})
    assert OpenRunSettings.from_environment().import_concurrency == 0


def test_an_empty_certificate_authority_is_amazons(environment):
    environment(**{name: value for name, value in ENVIRONMENT.items() if name != "DATABASE_CA"})
    assert ImportBatchSettings.from_environment().database_ca == ""


@pytest.mark.parametrize(
    ("cls", "variables"),
    [
        (TransformChangesSettings, ["MAPPING", "LANDING_BUCKET"]),
        (ForwardChangesSettings, ["MAPPING", "DELIVERY_STREAM", "LANDING_BUCKET", "TTL_DELETES"]),
        (ImportBatchSettings, [*DATABASE, "LANDING_BUCKET", "IMPORT_CONCURRENCY"]),
        (ChangeMappingSettings, [*ADMINISTRATORS, "DATABASE_ADMIN_SECRET_ARN", "LANDING_BUCKET"]),
        (CheckTargetSettings, [*DATABASE, "LANDING_BUCKET"]),
        (CompareRowsSettings, [*DATABASE, "LANDING_BUCKET"]),
        (FindUnimportedSettings, [*DATABASE, "LANDING_BUCKET", "BATCH_RETENTION_DAYS"]),
        (PurgeReplicasSettings, [*DATABASE, "LANDING_BUCKET", "PURGE_AFTER_DAYS"]),
        (PrepareTargetSettings, [*DATABASE, "DATABASE_ADMIN_SECRET_ARN", "LANDING_BUCKET", "IMPORT_CONCURRENCY"]),
        (RecordFailedBatchSettings, ["LANDING_BUCKET", "NOTICE_INTERVAL_SECONDS"]),
        (OpenRunSettings, [*DATABASE, "LANDING_BUCKET", "IMPORT_CONCURRENCY", "BACKFILL_CONCURRENCY"]),
        (CheckReadinessSettings, ["LANDING_BUCKET"]),
        (PlanBackfillSettings, ["LANDING_BUCKET"]),
        (ConvertExportSettings, ["LANDING_BUCKET"]),
        (ReconcileRunSettings, [*DATABASE, "LANDING_BUCKET"]),
        (PlanSweepSettings, [*DATABASE, "LANDING_BUCKET"]),
        (
            ReportRunSettings,
            ["LANDING_BUCKET", "CONVERT_MEMORY_MB", "IMPORT_MEMORY_MB", "NOTICE_INTERVAL_SECONDS"],
        ),
        (ListFailuresSettings, ["LANDING_BUCKET"]),
        (ConvertFailuresSettings, ["LANDING_BUCKET", "MAX_ATTEMPTS"]),
        (SettleFailuresSettings, [*DATABASE, "LANDING_BUCKET", "MAX_ATTEMPTS", "NOTICE_INTERVAL_SECONDS"]),
        (CloseRunSettings, [*DATABASE, "LANDING_BUCKET"]),
        (DescribeRunsSettings, [*DATABASE, "LANDING_BUCKET"]),
    ],
)
def test_every_missing_variable_is_named_at_once(environment, cls, variables):
    environment(LANDING_BUCKET="")
    with pytest.raises(InvalidSettingsError) as caught:
        cls.from_environment()
    assert caught.value.problem == "; ".join(f"{name} is not set" for name in variables) + "."


@pytest.mark.parametrize(
    ("cls", "variable", "value", "problem"),
    [
        (ForwardChangesSettings, "TTL_DELETES", "maybe", "TTL_DELETES is 'maybe': it must be one of replicate, ignore"),
        (ImportBatchSettings, "DATABASE_PORT", "mysql", "DATABASE_PORT is 'mysql'"),
        (OpenRunSettings, "IMPORT_CONCURRENCY", "many", "IMPORT_CONCURRENCY is 'many'"),
        (OpenRunSettings, "BACKFILL_CONCURRENCY", "1.5", "BACKFILL_CONCURRENCY is '1.5'"),
        (ReportRunSettings, "CONVERT_MEMORY_MB", "1 GB", "CONVERT_MEMORY_MB is '1 GB'"),
        (RecordFailedBatchSettings, "NOTICE_INTERVAL_SECONDS", "1 h", "NOTICE_INTERVAL_SECONDS is '1 h'"),
        (ConvertFailuresSettings, "MAX_ATTEMPTS", "some", "MAX_ATTEMPTS is 'some'"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(environment, cls, variable, value, problem):
    environment(**ENVIRONMENT | {variable: value})
    with pytest.raises(InvalidSettingsError, match=problem):
        cls.from_environment()


def subclasses(cls):
    return [cls, *(found for child in cls.__subclasses__() for found in subclasses(child))]


@pytest.mark.parametrize("cls", subclasses(Settings))
def test_settings_cannot_be_changed(cls):
    settings = cls(**dict.fromkeys(cls.list_fields(), "1"))
    with pytest.raises(AttributeError):
        settings.mapping = "other"
