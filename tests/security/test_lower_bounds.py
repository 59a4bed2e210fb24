"""The least versions of libraries that setup.cfg allows: none that is known to give secrets away, or to let others in.

Whoever installs the command line gets what the bounds allow, locked by nobody. What runs in AWS is locked by hash.
"""

from configparser import ConfigParser

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.infrastructure.deployment import PROJECT

ADVISORIES = {
    # Earlier ones answer a server without TLS with the password, whatever they were told of certificates; and
    # CVE-2024-36039, mended in 1.1.1: keys of a dict of somebody else's get into a statement.
    "pymysql": "1.2.0",
    # CVE-2026-39892: a buffer overflow; CVE-2026-34073, mended in 46.0.6: name constraints that are passed over;
    # CVE-2024-12797, mended in 44.0.1: an OpenSSL in its wheels that does not notice another server.
    "cryptography": "46.0.7",
    # CVE-2024-3651: a name that takes minutes to encode. The format idn-hostname is judged by it.
    "idna": "3.7",
    # botocore's TLS. CVE-2026-21441, and CVE-2025-66418 and CVE-2025-66471, mended in 2.6.0: an answer that fills the
    # memory; CVE-2025-50181, mended in 2.5.0: redirects that are followed although they were not to be.
    "urllib3": "2.6.3",
    # CVE-2025-27516, and CVE-2024-56326 and CVE-2024-56201, mended in 3.1.5: templates of others get out of a sandbox;
    # CVE-2024-34064, mended in 3.1.4: the filter xmlattr takes names that inject attributes.
    "jinja2": "3.1.6",
    # CVE-2026-54282, mended in 1.3.1, and CVE-2026-48710, mended in 1.0.1: a path or host that misleads request.url;
    # CVE-2026-48818, mended in 1.1.0: static files of another server, on Windows; CVE-2025-62727, mended in 0.49.1: a
    # Range header that takes minutes.
    "starlette": "1.3.1",
    # CVE-2025-43859: a chunked body that ends elsewhere than who passed it on thinks.
    "h11": "0.16",
}
"""By library, the first version without what is known of the earlier ones."""
NONE_KNOWN = {
    "aws-lambda-powertools", "boto3", "click", "fqdn", "google-re2", "isal", "isoduration", "jmespath", "jsonpointer",
    "jsonschema", "markdown-it-py", "markupsafe", "msgspec", "pybase64", "referencing", "rfc3339-validator",
    "rfc3986-validator", "rich", "uri-template", "uvicorn", "webcolors",
}  # fmt: skip
"""Libraries of whose allowed versions no advisory is known that concerns what they are used for here."""
HARMLESS = {
    "pip": "it installs wheels only, each by the hash of the lock: not what CVE-2023-5752 and CVE-2025-8869 are of",
}


def read_requirements(file: str) -> dict[str, Requirement]:
    text = (PROJECT / file).read_text()
    if file == "setup.cfg":
        parser = ConfigParser()
        parser.read_string(text)
        text = parser["options"]["install_requires"]
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    found = [Requirement(line.partition("--hash")[0].strip()) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def test_every_library_was_looked_at() -> None:
    assert read_requirements("setup.cfg").keys() == ADVISORIES.keys() | NONE_KNOWN | HARMLESS.keys()
    assert not ADVISORIES.keys() & (NONE_KNOWN | HARMLESS.keys())


@pytest.mark.parametrize("library", ADVISORIES)
@pytest.mark.parametrize("file", ["setup.cfg", "requirements/functions.in"])
def test_no_version_is_allowed_that_has_what_is_known_of_it(file: str, library: str) -> None:
    requirement = read_requirements(file).get(library)
    if requirement is None:
        assert file != "setup.cfg"
        return
    (lowest,) = (bound.version for bound in requirement.specifier if bound.operator in {">=", "=="})
    assert Version(lowest) >= Version(ADVISORIES[library])
