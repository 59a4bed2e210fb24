"""The local database's identity: a private certificate authority and one server certificate.

They meet the strictest verification in use (Python 3.13 sets `VERIFY_X509_STRICT`, which asks for the key identifiers
and key usages that RFC 5280 demands), because clients are to verify the local server exactly as they verify Aurora.
The authority's key signs one certificate and is then forgotten: nothing on disk can sign another.
"""

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = dt.timedelta(days=825)
"""The longest-lived server certificates that all common TLS clients accept."""
_RENEW_BEFORE = dt.timedelta(days=30)
_CLOCK_SKEW = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Certificates:
    """Files, all PEM, of the local database's identity."""

    ca_file: Path
    """What a client verifies the server against."""
    certificate_file: Path
    key_file: Path
    """The server's private key, readable by its owner only."""


def ensure_certificates(directory: Path) -> Certificates:
    """Return the certificates kept in `directory`, made anew when they are missing or end within 30 days."""
    certificates = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    if not _are_usable(certificates):
        _create_certificates(certificates)
    return certificates


def _are_usable(certificates: Certificates) -> bool:
    """Tell whether all files exist, belong together and stay valid long enough."""
    try:
        ca = x509.load_pem_x509_certificate(certificates.ca_file.read_bytes())
        server = x509.load_pem_x509_certificate(certificates.certificate_file.read_bytes())
        key = serialization.load_pem_private_key(certificates.key_file.read_bytes(), password=None)
        server.verify_directly_issued_by(ca)
    except Exception:  # noqa: BLE001  # whatever is wrong with them, new ones are the answer
        return False
    renewal = dt.datetime.now(dt.UTC) + _RENEW_BEFORE
    return server.public_key() == key.public_key() and server.not_valid_after_utc > renewal < ca.not_valid_after_utc


def _create_certificates(certificates: Certificates) -> None:
    """Make an authority and a server certificate and write them, the key first."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    ca = _create_authority(ca_key)
    server = _sign_server(server_key.public_key(), ca, ca_key)
    certificates.ca_file.parent.mkdir(parents=True, exist_ok=True)
    private = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(certificates.key_file, private, mode=0o600)
    _write(certificates.certificate_file, server.public_bytes(serialization.Encoding.PEM), mode=0o644)
    _write(certificates.ca_file, ca.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _create_authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return a self-signed certificate that may sign server certificates and nothing below them."""
    name = _name("dynaurora local CA")
    return (
        _start_certificate(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _sign_server(
    public_key: ec.EllipticCurvePublicKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """Return a certificate for a TLS server at 127.0.0.1, also known as localhost."""
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    return (
        _start_certificate(_name("localhost"), ca.subject, public_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _start_certificate(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """Return what both certificates have in common."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME - _CLOCK_SKEW)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    """Return a distinguished name of nothing but a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    """Return a key usage of only what is named."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Replace a file by one that never had wider permissions than `mode`."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
