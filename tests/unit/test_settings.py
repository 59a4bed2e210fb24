import dataclasses

import pytest

from dynaurora.errors import InvalidSettingsError
from dynaurora.settings import (
    ForwardChangesSettings,
    ImportBatchSettings,
    RecordFailedBatchSettings,
    Settings,
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
    "DATABASE_CA": "",
}


@pytest.fixture
def environment(monkeypatch):
    """Return what sets the variables, after all of them were removed."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)

    def set_variables(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables


def test_settings_are_read_from_the_environment(environment):
    environment(**ENVIRONMENT)
    assert ForwardChangesSettings.from_environment() == ForwardChangesSettings(
        mapping="web_analytics", delivery_stream="changes", landing_bucket="landing", ttl_deletes="ignore"
    )
    assert ImportBatchSettings.from_environment().database_port == 3306
    assert TransformChangesSettings.from_environment().mapping == "web_analytics"
    assert RecordFailedBatchSettings.from_environment().landing_bucket == "landing"


def test_an_empty_certificate_authority_is_amazons(environment):
    environment(**{name: value for name, value in ENVIRONMENT.items() if name != "DATABASE_CA"})
    assert ImportBatchSettings.from_environment().database_ca == ""


@pytest.mark.parametrize(
    ("cls", "variables"),
    [
        (TransformChangesSettings, ["MAPPING"]),
        (ForwardChangesSettings, ["MAPPING", "DELIVERY_STREAM", "LANDING_BUCKET", "TTL_DELETES"]),
        (
            ImportBatchSettings,
            ["MAPPING", "LANDING_BUCKET", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_SECRET_ARN"],
        ),
        (RecordFailedBatchSettings, ["MAPPING", "LANDING_BUCKET"]),
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
    ],
)
def test_a_wrong_variable_is_named_with_its_value(environment, cls, variable, value, problem):
    environment(**ENVIRONMENT | {variable: value})
    with pytest.raises(InvalidSettingsError, match=problem):
        cls.from_environment()


@pytest.mark.parametrize("cls", [Settings, *Settings.__subclasses__()])
def test_settings_cannot_be_changed(cls):
    settings = cls(**{entry.name: "1" for entry in dataclasses.fields(cls)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.mapping = "other"
