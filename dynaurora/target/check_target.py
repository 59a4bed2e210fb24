"""Examining the target: whether the loader can log in, write and load from S3, and the tables are its mapping's.

Each check does what an import does, without a trace: rights are those of statements that change no row, and a load of
one line, into a table of the kind that batches are staged in, shows the cluster's role, its way to S3 and the bucket's
key at once. What a failed check makes pointless is not done, and said to be unknown.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import raw_rows, sql
from dynaurora.aurora.fills import is_hidden, read_fills
from dynaurora.aurora.merge_faults import refuse_target
from dynaurora.aurora.migrations import find_pending_migrations
from dynaurora.aurora.replica_columns import check_replica
from dynaurora.aurora.staging import Staging, read_staging
from dynaurora.aurora.verifications import Verifications
from dynaurora.errors import (
    AccountLockedError,
    DynauroraError,
    ReadOnlyError,
    SecretRotatedError,
    ServerSettingsError,
    TargetMismatchError,
    ViewInvalidError,
)
from dynaurora.target.alterations import find_faults, find_other_rules, find_view_faults
from dynaurora.target.probe import Landing, load_into_permanent, load_into_temporary, loads_into_memory, write_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from dynaurora.aurora.connection import Aurora, Credentials
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

YES: Final = "yes"
NO: Final = "no"
WARNING: Final = "warning"
UNKNOWN: Final = "unknown"

SECRET: Final = "the loader's secret"  # noqa: S105  # a check, no secret
CONNECTION: Final = "the loader's connection"
SERVER_VERSION: Final = "the server's version"
TRANSPORT: Final = "TLS of others"
SETTINGS: Final = "the server's settings"
TABLES_AND_VIEW: Final = "tables and view"
COMPLETE: Final = "targets complete"
MERGING: Final = "what imports rely on"
RIGHTS: Final = "the loader's rights"
LOADING: Final = "loading from S3"
EQUALITY: Final = "rows and items"
CHECKS: Final = (
    SECRET,
    CONNECTION,
    SERVER_VERSION,
    TRANSPORT,
    SETTINGS,
    TABLES_AND_VIEW,
    COMPLETE,
    MERGING,
    RIGHTS,
    LOADING,
    EQUALITY,
)

SUPPORTED: Final = ((3, 5), (8, 4))
"""Major versions of Aurora MySQL, each with the first minor one that imports work with. 3.05 is the first that loads
what is encrypted with a key of the account's own (Aurora User Guide, "Loading data ... from text files in an Amazon S3
bucket"), as the landing bucket is. Version 2 has no roles."""

BY_HAND: Final = "dynaurora prepare MAPPING --host HOST --secret-arn ARN --ca-file CA"
PREPARE: Final = f"deploy the stack again with DatabaseAdminSecretArn, or run `{BY_HAND}`"
REBUILD: Final = "`dynaurora mapping rebuild`"
REMEDIES: Final = {
    SECRET: "Give the stack's DatabaseSecretArn a secret with username and password, which its key lets it read.",
    CONNECTION: (
        "Ask again in a minute: a cluster that has paused comes back by then. Otherwise look whether it is available,"
        " whether its security group admits the stack's, and whether the subnets lead to it."
    ),
    SERVER_VERSION: "Upgrade the cluster to 3.05 or later of Aurora MySQL 3, or to 8.4: docs/deploy.md has the table.",
    TRANSPORT: "Set require_secure_transport to ON in the cluster's parameter group: it takes effect at once.",
    SETTINGS: f"{ServerSettingsError.remedy.partition(' Then ')[0]} Sessions that begin then have it.",
    TABLES_AND_VIEW: f"See what would be done by `dynaurora mapping plan MAPPING`; to have it done, {PREPARE}.",
    COMPLETE: "Run `dynaurora backfill start MAPPING --sweep`, and rely on no such target before that has succeeded.",
    MERGING: (
        "Take away what somebody added to the replica. Triggers are seen by a procedure that the deployment leaves"
        f" behind; where they cannot be seen, {PREPARE}."
    ),
    RIGHTS: f"To grant them, {PREPARE}, whose --help lists them.",
    EQUALITY: "See which rows differ, and what to do: `dynaurora verify MAPPING`, then docs/runbooks/differences.md.",
    LOADING: (
        "Associate a role that may read the landing bucket with the cluster, name it in the cluster parameter"
        " aws_default_s3_role, and give the cluster a route to S3. Where Aurora says that it loads into no temporary"
        f" table, run `{BY_HAND} --staging-tables 5`; the deployment of a new package finds that out."
    ),
}
PASSWORD: Final = "Give the user the secret's password again: deploy the stack with DatabaseAdminSecretArn."  # noqa: S105
REMEDIES_OF_ERRORS: Final[dict[type[DynauroraError], str]] = {
    AccountLockedError: "Deploy the stack with DatabaseAdminSecretArn: it unlocks the user, whose password then lasts.",
    ReadOnlyError: (
        "Ask again in a minute: after a fail-over the old writer takes no writes for a while. Otherwise give the stack"
        " the cluster's writer endpoint, or switch read_only off in the cluster's parameter group."
    ),
    SecretRotatedError: PASSWORD,
    ViewInvalidError: f"To make the view anew, {PREPARE}, as a user who stays and has a grant of their own to read it.",
}
"""Of errors that say more than the check that they end."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    state: str
    """YES, NO or UNKNOWN; or WARNING, where replication works and something is wrong all the same."""
    detail: str = ""
    """What is there, or what is wrong."""
    remedy: str = ""
    """What to do about a NO or a WARNING."""


class Examination:
    """Findings, in the order of the checks."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    @contextmanager
    def checking(self, check: str) -> Iterator[None]:
        """Note how a check ends: well, with a warning, or with an error of ours, which is not raised again."""
        try:
            yield
        except DynauroraError as error:
            problem = f"{type(error).__name__}: {error.problem}"
            remedy = REMEDIES_OF_ERRORS.get(type(error), REMEDIES[check])
            self.findings.append(Finding(check, NO, problem, remedy))
        else:
            if all(finding.check != check for finding in self.findings):
                self.findings.append(Finding(check, YES))

    def warn(self, check: str, problem: str) -> None:
        """Note something that does not keep replication from working."""
        self.findings.append(Finding(check, WARNING, problem, REMEDIES[check]))

    def note(self, check: str, detail: str) -> None:
        """Note that a check ended well, and what is there."""
        self.findings.append(Finding(check, YES, detail))

    def has_passed(self, check: str) -> bool:
        """Tell whether a check found nothing."""
        return Finding(check, YES) in self.findings

    def close(self) -> list[Finding]:
        """Return the findings, with the checks that were not made."""
        made = {finding.check for finding in self.findings}
        return self.findings + [Finding(check, UNKNOWN) for check in CHECKS if check not in made]


@dataclass(frozen=True)
class Target:
    """What is examined, and the ways to it."""

    read_mapping: Callable[[], Mapping]
    """Reads the current mapping from the registry."""
    store: ObjectStore
    bucket: str
    read_credentials: Callable[[], Credentials]
    connect: Callable[[Credentials], AbstractContextManager[Aurora]]
    """Opens a connection without the load role: each right is checked by itself."""


def examine_target(target: Target) -> list[Finding]:
    """Return what is found, one finding for each of CHECKS. Raises nothing of ours."""
    examination, credentials = Examination(), None
    with examination.checking(SECRET):
        credentials = target.read_credentials()
    if credentials is not None:
        with examination.checking(CONNECTION), target.connect(credentials) as aurora:
            # It notes the failures of its own checks; what escapes it is the connection's.
            examine_as_loader(examination, target, aurora)
    return sorted(examination.close(), key=lambda finding: CHECKS.index(finding.check))


def examine_as_loader(examination: Examination, target: Target, aurora: Aurora) -> None:
    """Check what an import needs, from the loader's own connection."""
    with examination.checking(SERVER_VERSION):
        check_version(read_aurora_version(aurora))
    with examination.checking(TRANSPORT):
        if not requires_tls(aurora):
            examination.warn(TRANSPORT, "the cluster lets clients in without it, dynaurora's own always use it")
    with examination.checking(SETTINGS):
        check_settings(aurora)
    if not examination.has_passed(SETTINGS):
        return
    with examination.checking(TABLES_AND_VIEW):
        mapping = target.read_mapping()
        check_tables(aurora, mapping)
    if not examination.has_passed(TABLES_AND_VIEW):
        return
    with examination.checking(COMPLETE):
        for problem in find_unfilled_targets(aurora, mapping):
            examination.warn(COMPLETE, problem)
    with examination.checking(MERGING):
        check_added(examination, aurora, mapping)
    with examination.checking(EQUALITY):
        tell_verified(examination, aurora, mapping)
    with examination.checking(RIGHTS):
        check_rights(aurora, mapping)
    with examination.checking(LOADING):
        examination.note(LOADING, try_loading(aurora, mapping, Landing(target.store, target.bucket)))


def read_aurora_version(aurora: Aurora) -> str | None:
    """Return Aurora's own version, 3.10.6 or 8.4.8 for one; None of a server that is no Aurora."""
    rows = aurora.query("SHOW GLOBAL VARIABLES LIKE 'aurora\\_version'")
    return str(rows[0][1]) if rows else None


def check_version(version: str | None) -> None:
    """Raise TargetMismatchError for a version of Aurora MySQL that imports do not work with.

    What is no Aurora is left to the load from S3, which shows whether it can take Aurora's place.
    """
    if version is None:
        return
    major, minor = (int(part) for part in re.findall("[0-9]+", version)[:2])
    if not any(major == known and minor >= first for known, first in SUPPORTED):
        raise TargetMismatchError(f"The cluster is Aurora MySQL {version}.")


def requires_tls(aurora: Aurora) -> bool:
    """Tell whether the server refuses clients without TLS."""
    ((required,),) = aurora.query("SELECT @@GLOBAL.require_secure_transport")
    return bool(required)


def check_settings(aurora: Aurora) -> None:
    """Raise ServerSettingsError where the binary log is of statements: none of an import's could be written to it."""
    ((logs,),) = aurora.query("SELECT @@GLOBAL.log_bin")
    written = dict(aurora.query("SHOW GLOBAL VARIABLES WHERE Variable_name = 'binlog_format'"))
    if logs and written.get("binlog_format") == "STATEMENT":
        raise ServerSettingsError("The binary log is on, and binlog_format is STATEMENT: no row could be changed.")


def check_tables(aurora: Aurora, mapping: Mapping) -> None:
    """Raise TargetMismatchError where a table, the view or a migration is missing, or the replica is another one."""
    pending = find_pending_migrations(aurora, mapping.database)
    if pending:
        raise TargetMismatchError(f"The database {mapping.database} lacks the migrations {', '.join(pending)}.")
    for target in mapping.targets:
        check_replica(aurora, target)
        if not is_hidden(aurora, target):
            aurora.query(sql.select_nothing(target))
        refuse_target(target, [*find_view_faults(aurora, target)])


def find_unfilled_targets(aurora: Aurora, mapping: Mapping) -> Iterator[str]:
    """Yield the targets that are complete only after a backfill with a sweep, and what that means for their views."""
    rebuilds = {target.table: target.rebuilds for target in mapping.targets if target.rebuilds}
    for fill in read_fills(aurora, mapping):
        if fill.target in rebuilds:
            filled = "filled, and can be switched to" if fill.run else "being filled"
            yield f"{rebuilds[fill.target]} is being rebuilt, its second table is {filled}: {REBUILD} goes on"
        elif fill.run:
            yield f"{fill.target} was filled by run {fill.run}, and its view is not made yet"
        elif fill.hides_view:
            yield f"{fill.target} is new since generation {fill.generation}: it has no view before it is filled"
        else:
            yield f"{fill.target} may have rows that left it, and lack others, since generation {fill.generation}"


def check_added(examination: Examination, aurora: Aurora, mapping: Mapping) -> None:
    """Raise TargetMismatchError where imports would fail of what somebody added; warn of what may refuse rows."""
    for target in mapping.targets:
        refuse_target(target, [*find_faults(aurora, target)])
        for problem in find_other_rules(aurora, target):
            examination.warn(MERGING, problem)


def tell_verified(examination: Examination, aurora: Aurora, mapping: Mapping) -> None:
    """Tell what the last verification of all items found, or that there was none."""
    last = Verifications(aurora, mapping).find_last()
    if last is None:
        examination.warn(EQUALITY, "they were never compared")
        return
    when = f"verified at {last.ended_at:%Y-%m-%d %H:%M}Z"
    mended = f", mended {last.mending.ended_at:%Y-%m-%d %H:%M}Z, when those keys were verified" if last.mending else ""
    if last.left:
        left = f"{last.unexplained} differed{mended}: {last.left}" if mended else str(last.left)
        examination.warn(EQUALITY, f"{when}, {left} differ without an explanation")
    elif last.unexplained:
        examination.note(EQUALITY, f"{when}, {last.unexplained} differed{mended}: equal")
    else:
        examination.note(EQUALITY, f"{when}, equal")


def check_rights(aurora: Aurora, mapping: Mapping) -> None:
    """Raise PrivilegeError where the loader may not do what an import does; no row changes."""
    with aurora.transaction():
        for target in mapping.targets:
            for statement in sql.change_nothing(target):
                aurora.execute(statement)


def try_loading(aurora: Aurora, mapping: Mapping, landing: Landing) -> str:
    """Load one line by a manifest into the kind of table that batches are staged in; return which that is.

    Raises what Aurora says of it, or TargetMismatchError where a slot's table is missing.
    """
    recorded = read_staging(aurora, mapping)
    staging = recorded or Staging()
    uri = write_line(mapping, landing)
    aurora.activate_load_role()
    in_memory = False
    if staging.tables:
        for slot in range(1, staging.tables + 1):
            for table in (sql.name_staged(mapping, slot), raw_rows.name_raw(mapping, slot)):
                aurora.query(sql.select_row_count(mapping, table))
        load_into_permanent(aurora, mapping, uri)
    else:
        load_into_temporary(aurora, mapping, uri)
        in_memory = loads_into_memory(aurora, mapping, uri)
    unrecorded = "" if recorded else ", which no deployment has recorded"
    return f"batches are staged in {staging}{unrecorded}{' (small ones in memory)' if in_memory else ''}"
