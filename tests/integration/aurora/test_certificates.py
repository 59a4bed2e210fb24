"""The local database's certificates. Nothing here needs a server."""

import datetime as dt
import stat

import pytest
from cryptography import x509

from local import certificates
from local.certificates import ensure_certificates


def test_certificates_are_made_once(tmp_path):
    first = ensure_certificates(tmp_path / "new")
    content = first.ca_file.read_bytes(), first.certificate_file.read_bytes(), first.key_file.read_bytes()
    again = ensure_certificates(tmp_path / "new")
    assert again == first
    assert content == (again.ca_file.read_bytes(), again.certificate_file.read_bytes(), again.key_file.read_bytes())


def test_the_key_is_readable_by_its_owner_only(tmp_path):
    made = ensure_certificates(tmp_path)
    assert stat.S_IMODE(made.key_file.stat().st_mode) == 0o600


def test_the_server_is_named_by_address_and_name(tmp_path):
    server = x509.load_pem_x509_certificate(ensure_certificates(tmp_path).certificate_file.read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_a_damaged_file_is_made_anew_with_the_others(tmp_path, name, content):
    before = ensure_certificates(tmp_path).ca_file.read_bytes()
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    made = ensure_certificates(tmp_path)
    ca = x509.load_pem_x509_certificate(made.ca_file.read_bytes())
    x509.load_pem_x509_certificate(made.certificate_file.read_bytes()).verify_directly_issued_by(ca)
    assert made.ca_file.read_bytes() != before


def test_certificates_about_to_end_are_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "_LIFETIME", dt.timedelta(days=29))
    before = ensure_certificates(tmp_path).ca_file.read_bytes()
    monkeypatch.undo()
    assert ensure_certificates(tmp_path).ca_file.read_bytes() != before
