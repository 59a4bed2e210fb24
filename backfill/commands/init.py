"""`dynaurora init`: make a project."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
import click

from backfill.commands.account_options import REGION, given_option
from backfill.commands.options import json_option
from backfill.project import FILE, STACK
from backfill.terminal.console import NAME, WrongUseError, print_json, print_line

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
"""Of a platform: CloudFormation takes 128 characters, and names of replications come behind it."""
SETTINGS: Final = """\
# Where this project's tables are replicated. Every dynaurora command in this folder, or below it, reads this file.

[platform]
stack = "{stack}"{region}{profile}

# Parameters of the platform's stack: what is left out is created, as the database and its network.
# [platform.parameters]
# DatabaseHost = "cluster.example.com"

# Parameters of the stack that replicates by a mapping.
# [replications.orders]
# TtlDeletes = "ignore"

# Defaults of options, for this project.
[defaults]
# engine = "mysql"         # the database server of `dynaurora local up`: mariadb or mysql
# max_concurrency = 4      # of `dynaurora backfill start`: batches at the same time
# every = 3.0              # of watches: seconds between two looks
"""
IGNORED: Final = """\
# What the local AWS of this project keeps while it runs.
.local/
"""
NEXT: Final = (
    "mapping infer --items orders.jsonl --table orders --partition-key order_id -o mappings/orders.json",
    "local up --items orders.jsonl",
    "local compare",
)
"""What comes after a project was made, as its README has it."""
README: Final = """\
# {name}

DynamoDB tables that dynaurora replicates into Aurora MySQL: one file
`mappings/<name>.json` for each, which says what becomes of the table's items. `dynaurora` comes with
`pipx install dynaurora`; its commands work in this folder.

What comes next, for a table `orders` of which `orders.jsonl` has some items, one `{{"Item": …}}` a line as DynamoDB
exports them:

```console
dynaurora mapping infer --items orders.jsonl --table orders --partition-key order_id -o mappings/orders.json
dynaurora local up --items orders.jsonl
dynaurora local compare
```

The first makes `mappings/orders.json` of what the items are like, for the keys that the table has; without a file it
reads some items of the table on AWS. The second starts an AWS on this machine, deploys the mappings to it, creates
their tables and writes the items; the third compares DynamoDB and Aurora key by key. `dynaurora local down` stops all
of it and leaves nothing.
"""


@click.command(
    epilog="""\b
Examples:
  dynaurora init shop && cd shop
  dynaurora init --stack shop --region eu-central-1 --profile shop
  dynaurora init shop --json
"""
)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--stack", default=STACK, show_default=True, metavar="NAME", help="The platform's stack.")
@click.option("--region", metavar="REGION", help="The AWS region; what the AWS SDK is configured for unless told.")
@click.option("--profile", metavar="NAME", help="The profile of the AWS SDK, the same.")
@json_option
def init(directory: Path, stack: str, region: str | None, profile: str | None, as_json: bool) -> None:
    """Make a project in DIR, or in the working directory: a folder for the mappings of your own tables.

    It gets a dynaurora.toml, mappings/, a README with the next commands and a .gitignore. A README.md and a .gitignore
    that are there already stay as they are; where there is a dynaurora.toml nothing is made. Exit status 0 done, 1 the
    folder cannot be written to, 2 wrong use.
    """
    if not STACK_NAME.fullmatch(stack):
        raise WrongUseError(f"{stack!r} cannot be a stack's name: letters, digits and hyphens, 64 at most.")
    region, profile = region or given_option("--region"), profile or given_option("--profile")
    root = directory.absolute()
    files = {
        FILE: SETTINGS.format(stack=stack, region=_set("region", region), profile=_set("profile", profile)),
        "README.md": README.format(name=root.resolve().name),
        ".gitignore": IGNORED,
    }
    there = [name for name in files if (root / name).exists() or (root / name).is_symlink()]
    if FILE in there:
        raise WrongUseError(
            f"{root} is a project already: it has a {FILE}; nothing was made. Go on in it, or choose another folder."
        )
    made = {name: text for name, text in files.items() if name not in there}
    try:
        _write(root, made)
    except OSError as error:
        raise click.ClickException(f"The project could not be made: {error}.") from error
    if as_json:
        print_json({"project": str(root), "files": [*made, "mappings/"], "kept": there})
        return
    print_line(f"{root} is a project: {', '.join([*made, 'mappings/'])}.")
    for note in _list_notes(there, region, profile):
        print_line(note)
    step = "" if root == Path.cwd() else f"cd {shlex.quote(str(directory))}; then, "
    print_line(f"Next: {step}for a table orders of which orders.jsonl has some items:")
    for command in NEXT:
        print_line(f"  {NAME} {command}")


def _list_notes(there: list[str], region: str | None, profile: str | None) -> Iterator[str]:
    """Yield what is to be known of what was there, and of settings that nothing on this machine knows."""
    if "README.md" in there:
        yield "README.md was there, and stays as it is."
    if ".gitignore" in there:
        yield ".gitignore was there, and stays as it is: add .local/ to it, what the local AWS keeps while it runs."
    session = boto3.Session() if profile or region else None
    if session and profile and profile not in session.available_profiles:
        yield f"No profile {profile} is configured here yet: aws configure --profile {profile}"
    if session and region and not REGION.fullmatch(region):
        yield f"{region} does not look like a region: they are named as eu-central-1."


def _set(key: str, value: str | None) -> str:
    """Return the line of a setting; a comment that shows it where it is not set."""
    if value is None:
        shown = {"region": "eu-central-1", "profile": "default"}[key]
        return f'\n# {key} = "{shown}"'
    if not re.fullmatch(r"[\w.+@=,-]+", value):
        raise WrongUseError(f"{value!r} cannot be a {key}.")
    return f'\n{key} = "{value}"'


def _write(root: Path, files: dict[str, str]) -> None:
    """Write a project's files; the one that makes it a project comes last, so that half of one is none."""
    (root / "mappings").mkdir(parents=True, exist_ok=True)
    for name in reversed(files):
        with (root / name).open("x", encoding="utf-8") as file:
            file.write(files[name])
