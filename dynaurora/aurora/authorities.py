"""The certificate authorities of Amazon RDS: which Regions' databases a bundle of them can verify.

Each Region has roots of its own, whose common names have it: `Amazon RDS eu-west-1 Root CA RSA2048 G1` (Amazon Aurora
User Guide, "Using TLS to encrypt a connection to a DB cluster", "Certificate authorities").
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import Any, Final

ROOT: Final = re.compile(r"Amazon RDS (?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]) Root CA [A-Z0-9]+ G[0-9]+")
"""Not those of 2019, which have expired, nor those of RDS's own Beta and Preview."""
HOST: Final = re.compile(r"\.(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9])\.rds\.amazonaws\.com(?:\.cn)?$")


def find_regions(pem: str) -> frozenset[str]:
    """Return the Regions that a bundle, PEM, has a root for which is valid today. Raises ssl.SSLError, ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem)
    now = datetime.now(UTC).timestamp()
    valid = (root for root in context.get_ca_certs() if ssl.cert_time_to_seconds(str(root["notAfter"])) > now)
    found = (ROOT.fullmatch(_common_name(root)) for root in valid)
    return frozenset(match["region"] for match in found if match)


def region_of_host(host: str) -> str | None:
    """Return the Region that the name of a cluster's endpoint has; None for another name."""
    match = HOST.search(host)
    return match["region"] if match else None


def _common_name(certificate: dict[str, Any]) -> str:
    names = dict(pair for pairs in certificate["subject"] for pair in pairs)
    return str(names.get("commonName", ""))
