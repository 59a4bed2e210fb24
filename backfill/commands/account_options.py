"""`--region` and `--profile`, as the AWS CLI has them: before a command, or among its options.

They count before the environment and the project's dynaurora.toml; of two, the one that is nearer to the command's end.
A profile's credentials count before those of the environment, which the SDK would take first.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.terminal.console import GIVEN

if TYPE_CHECKING:
    from collections.abc import Callable

REGION: Final = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
LOCAL: Final = "local"
"""The commands of the AWS of this machine, which has no other region and asks for no profile: they take both in."""
CREDENTIALS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


def add_account_options(command: click.Command, name: str = "", *, is_first: bool = True, hidden: bool = False) -> None:
    """Give a command, and all below it, the options that it has not yet; groups below the first do not show them."""
    hidden = hidden or name == LOCAL
    own = {parameter.name for parameter in command.params}
    is_group = isinstance(command, click.Group)
    command.params += [
        option for option in _make_options(hidden=hidden or (is_group and not is_first)) if option.name not in own
    ]
    if isinstance(command, click.Group):
        for child, inner in command.commands.items():
            add_account_options(inner, child, is_first=False, hidden=hidden)


def given_option(name: str) -> str | None:
    """Return what was given for one of the options, wherever it stood; None where it was not."""
    context = click.get_current_context(silent=True)
    value: str | None = context.find_root().meta.get(GIVEN, {}).get(name) if context else None
    return value


def _make_options(*, hidden: bool) -> list[click.Option]:
    return [
        click.Option(
            ["--region"],
            metavar="REGION",
            expose_value=False,
            hidden=hidden,
            callback=_applied(use_region),
            help="The AWS region; before AWS_REGION and dynaurora.toml.",
        ),
        click.Option(
            ["--profile"],
            metavar="NAME",
            expose_value=False,
            hidden=hidden,
            callback=_applied(use_profile),
            help="The profile of the AWS SDK; before its environment and dynaurora.toml.",
        ),
    ]


def _applied(use: Callable[[str], None]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    def apply(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is None:
            return
        try:
            use(value)
        except ValueError as error:
            if not context.resilient_parsing:
                raise click.BadParameter(str(error), context, parameter) from error
            return
        context.find_root().meta.setdefault(GIVEN, {})[parameter.opts[0]] = value

    return apply


def use_region(region: str) -> None:
    """Have the SDK ask a region. Raises ValueError where that is no region's name."""
    if not REGION.fullmatch(region):
        raise ValueError(f"{region!r} is no region's name, as eu-central-1 is one.")
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = region


def use_profile(profile: str) -> None:
    """Have the SDK work with a profile. Raises ValueError where nobody configured it."""
    from botocore.session import Session  # takes a while, and most give no profile

    known = Session().available_profiles
    if profile not in known:
        there = f"there are: {', '.join(sorted(known))}" if known else "there is none"
        raise ValueError(f"No profile is named {profile!r}; {there}. `aws configure --profile NAME` makes one.")
    for name in (*CREDENTIALS, "AWS_DEFAULT_PROFILE"):
        os.environ.pop(name, None)
    os.environ["AWS_PROFILE"] = profile
