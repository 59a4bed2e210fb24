"""The database down, restarted, or not the one it says it is: each has its own error, and nothing is half done."""

import dataclasses
from pathlib import Path

import pytest

from dynaurora.aurora.connection import Aurora, Credentials, connect
from dynaurora.aurora.origins import Origin
from dynaurora.aurora.staging import claim_table
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.ledger import Ledger
from dynaurora.batches.loading import PartSource, stage, write_manifest
from dynaurora.batches.merging import check_staged, merge
from dynaurora.errors import CertificateError, ConnectionLostError, SecretRotatedError
from local.aurora.server import DatabaseServer
from local.certificates import ensure_certificates
from tests.integration.targets import Target, row

pytestmark = pytest.mark.integration


def test_a_database_that_is_down_is_retryable_and_then_takes_the_batch(target: Target, server: DatabaseServer) -> None:
    batch = target.write([row("a", 1, 1)])
    server.kill()
    try:
        with pytest.raises(ConnectionLostError):
            target.import_batch(batch)
    finally:
        server.start()
    assert target.import_batch(batch).status == "applied"
    assert target.hits() == {"a": 1}


def test_a_database_killed_within_the_transaction_has_applied_nothing(target: Target, server: DatabaseServer) -> None:
    batch = target.write([row("a", 1, 1)])
    store = S3Objects()

    def lose_the_database(aurora: Aurora) -> None:
        with claim_table(aurora, target.mapping) as table:
            uri = write_manifest(batch.mapping, batch.id, batch.objects, store, target.bucket)
            staged = stage(target.mapping, aurora, PartSource(batch.id, uri, "", 1), table)
            with aurora.transaction():
                assert Ledger(aurora, target.mapping.database).enter(batch, batch.id, target.mapping, retries=0)
                check_staged(batch.id, target.mapping, aurora, staged)
                server.kill()
                server.start()
                merge(Origin(target.mapping), aurora, table)

    with target.connect() as aurora, pytest.raises(ConnectionLostError):
        lose_the_database(aurora)
    assert target.ledger() == {}
    assert target.import_batch(batch).status == "applied"


def test_a_server_of_another_authority_is_refused(target: Target, tmp_path: Path) -> None:
    other = ensure_certificates(tmp_path).ca_file.read_text()
    endpoint = dataclasses.replace(target.endpoint, ca_pem=other)
    with pytest.raises(CertificateError), connect(endpoint, target.loader):
        pass


def test_a_server_of_another_name_is_refused(target: Target) -> None:
    endpoint = dataclasses.replace(target.endpoint, host="127.0.0.2")
    with pytest.raises((CertificateError, ConnectionLostError)), connect(endpoint, target.loader):
        pass


def test_a_password_that_was_rotated_is_retryable(target: Target) -> None:
    with pytest.raises(SecretRotatedError), connect(target.endpoint, Credentials(target.loader.username, "old")):
        pass
