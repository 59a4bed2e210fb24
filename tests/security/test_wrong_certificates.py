"""A server with TLS whose certificate is another one's, as a man in the middle has: nobody's password is sent to it."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dynaurora.aurora.connection import Credentials, Endpoint, connect
from dynaurora.errors import CertificateError
from tests.security.test_without_tls import LONG_PASSWORD, PASSWORD, PLUGINS, PROTOCOL_41, SECURE, greet

SSL = 0x800
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def sign(issuer, issuer_key, subject, key, names, *, until=NOW + DAY, authority=False):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 10 * DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


class Authority:
    def __init__(self, title):
        self.title, self.key = title, ec.generate_private_key(ec.SECP256R1())
        self.certificate = sign(title, self.key, title, self.key, [], authority=True)

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def make_context(self, directory, subject, names, **how):
        """Return the settings of a server with a certificate of this authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = sign(self.title, self.key, subject, key, names, **how)
        file = directory / "server.pem"
        form = serialization.PrivateFormat.PKCS8
        private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture
def serve():
    """Start a server that goes on in TLS; return its port, and what it hears then."""
    with contextlib.ExitStack() as stack:

        def start(context):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            heard = bytearray()

            def answer():
                with contextlib.suppress(OSError):
                    client, _ = listener.accept()
                    client.settimeout(5)
                    client.sendall(greet(PROTOCOL_41 | SECURE | PLUGINS | LONG_PASSWORD | SSL))
                    client.recv(36)  # the request for TLS
                    with context.wrap_socket(client, server_side=True) as secured:
                        heard.extend(secured.recv(65536))

            thread = threading.Thread(target=answer, daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            return listener.getsockname()[1], heard

        yield start


AUTHORITY, STRANGER = Authority("authority"), Authority("authority")


@pytest.mark.parametrize(
    ("authority", "subject", "names", "until"),
    [
        pytest.param(STRANGER, "127.0.0.1", [HERE], NOW + DAY, id="of another authority of the same name"),
        pytest.param(AUTHORITY, "evil", [x509.DNSName("evil.example")], NOW + DAY, id="of another host"),
        pytest.param(AUTHORITY, "127.0.0.1", [], NOW + DAY, id="named in its subject only"),
        pytest.param(AUTHORITY, "127.0.0.1", [x509.DNSName("127.0.0.1")], NOW + DAY, id="an address as a name"),
        pytest.param(AUTHORITY, "*", [x509.DNSName("*.0.0.1"), x509.DNSName("*")], NOW + DAY, id="any name"),
        pytest.param(AUTHORITY, "127.0.0.1", [HERE], NOW - DAY, id="expired"),
    ],
)
def test_a_server_with_the_wrong_certificate_hears_nothing(serve, tmp_path, authority, subject, names, until):
    port, heard = serve(authority.make_context(tmp_path, subject, names, until=until))
    endpoint = Endpoint("127.0.0.1", port, AUTHORITY.pem)
    with pytest.raises(CertificateError), connect(endpoint, Credentials("admin", PASSWORD)):
        pass
    assert bytes(heard) == b""


def test_the_right_one_is_sent_the_login(serve, tmp_path):
    port, heard = serve(AUTHORITY.make_context(tmp_path, "127.0.0.1", [HERE]))
    with (
        contextlib.suppress(Exception),
        connect(Endpoint("127.0.0.1", port, AUTHORITY.pem), Credentials("admin", PASSWORD)),
    ):
        pass
    assert b"admin" in bytes(heard)
    assert PASSWORD.encode() not in bytes(heard)


def test_the_name_is_compared_too_where_the_authority_is_right(serve, tmp_path):
    port, heard = serve(AUTHORITY.make_context(tmp_path, "127.0.0.1", [HERE]))
    with (
        pytest.raises(CertificateError),
        connect(Endpoint("localhost", port, AUTHORITY.pem), Credentials("admin", PASSWORD)),
    ):
        pass
    assert bytes(heard) == b""
