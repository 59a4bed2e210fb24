"""Nobody whom AWS knows, whoever runs the tests."""

import os

import pytest


@pytest.fixture(autouse=True)
def unknown(tmp_path, monkeypatch):
    """Leave nothing of what the AWS SDK reads: of the environment, and of the home directory."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
