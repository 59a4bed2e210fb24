"""What the AWS SDK takes its credentials from, and how one signs in again there."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.configloader import raw_config_parse
from botocore.exceptions import BotoCoreError
from botocore.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL: Final = 'for the AWS of this machine, eval "$(dynaurora local env)"'
IDENTITY_FILE: Final = "web_identity_token_file"
WAYS: Final = {
    "sso_session": "Run `aws sso login --profile {0}`.",
    "sso_start_url": "Run `aws sso login --profile {0}`.",
    "login_session": (
        "Run `aws login --profile {0}`. Where the SDK asks for botocore[crt], have the AWS CLI sign in:"
        ' eval "$(aws configure export-credentials --profile {0} --format env)".'
    ),
    IDENTITY_FILE: "Renew the file that its web_identity_token_file names.",
    "credential_process": (
        "`aws configure get credential_process --profile {0}` shows what it runs: run that, and mend what it says."
    ),
    "aws_session_token": "Its keys are temporary: have what wrote them write new ones, or give another --profile.",
    "aws_access_key_id": "Run `aws configure --profile {0}`, or give another --profile.",
}
"""What to do by what a profile has, in the order in which it counts; keys in the file of credentials count first."""
BEHIND_THAT_FILE: Final = ("login_session", "credential_process")
"""What counts behind keys in the file of credentials, though before keys in the configuration."""


@dataclass(frozen=True)
class SignIn:
    """What the SDK takes credentials from."""

    whose: str
    """As a message names it: a profile, or what else they are from."""
    next_step: str
    """A sentence that says how to get such as are accepted."""


def find_sign_in() -> SignIn:
    """Return what the SDK takes credentials from, as it is configured now; of a role, what assumes it."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):  # counts before a profile that the environment names
        return SignIn("the environment", f"Set AWS_ACCESS_KEY_ID and the others anew, or give --profile; {LOCAL}.")
    session = Session()
    name, known = _find_profile(session)
    passed = BEHIND_THAT_FILE if _is_in_credentials_file(session, name) else ()
    ways = (way.format(shlex.quote(name)) for kind, way in WAYS.items() if kind in known and kind not in passed)
    nothing = f"Give --profile, set AWS_PROFILE, or run `aws configure`; {LOCAL}."
    whose = f"the profile {name}" if known or session.profile else "this machine"
    return SignIn(whose, next(ways, nothing))


def find_identity_file() -> str | None:
    """Return the file of a web identity that a profile has the SDK read at its first call, or None."""
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return None
    _, known = _find_profile(Session())
    return known.get(IDENTITY_FILE)


def _find_profile(session: Session) -> tuple[str, Mapping[str, Any]]:
    """Return the profile that credentials come from, and what it has."""
    try:
        profiles = session.full_config.get("profiles", {})
    except BotoCoreError:  # the file has been changed since the SDK read it
        profiles = {}
    name = find_source(session.profile or "default", profiles)
    return name, profiles.get(name, {})


def _is_in_credentials_file(session: Session, name: str) -> bool:
    try:
        profiles = raw_config_parse(session.get_config_variable("credentials_file"))
    except BotoCoreError:  # there is none
        return False
    return "aws_access_key_id" in profiles.get(name, {})


def find_source(name: str, profiles: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the profile that has the credentials of one: where that assumes a role, the one that it does so by."""
    seen = {name}
    while (source := profiles.get(name, {}).get("source_profile")) and source not in seen:
        seen.add(source)
        name = source
    return name
