"""Owners: which platform writes a table of the database, in `_dynaurora_owners`.

What the replications of one platform write, its registry knows. Another platform on the same cluster, as one for tests
or of another account, has a registry of its own: two that write one table would each undo what the other wrote. So a
platform enters the tables of a mapping as its own before it makes any, under the name of its landing bucket, which no
other one has. They are nobody's again once the replication is deleted; its tables stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.aurora.locks import holding, name_lock
from dynaurora.aurora.sql import quote
from dynaurora.errors import TargetTakenError
from dynaurora.mappings.replications import list_tables

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

OWNERS: Final = "_dynaurora_owners"
CREATE_OWNERS: Final = f"""CREATE TABLE IF NOT EXISTS {{database}}.`{OWNERS}` (
  `name` VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  `platform` VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `mapping` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `since` DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"""
OWNERS_WAIT_SECONDS: Final = 60
"""For another deployment that enters its tables in the same database."""


def own_tables(aurora: Aurora, mapping: Mapping, platform: str) -> None:
    """Enter what a mapping's targets take, views and tables with rows, as a platform's. Safe to repeat.

    What the mapping took before and takes no more is nobody's from then on. Raises TargetTakenError where another
    platform has one of them, or a mapping of that name: what wrote a row is known by the name alone.
    """
    wanted = {name: shown for (_, name), shown in list_tables(mapping).items()}
    table = _owners(mapping.database)
    with holding(aurora, name_lock(mapping.database, "owners"), OWNERS_WAIT_SECONDS):
        owned = aurora.query(f"SELECT name, platform, mapping FROM {table} ORDER BY name")
        for name, other, its_mapping in owned:
            if other != platform and (name in wanted or its_mapping == mapping.name):
                raise _explain(mapping, wanted.get(name), other, its_mapping)
        with aurora.transaction():
            for name, _, its_mapping in owned:
                if its_mapping == mapping.name and name not in wanted:
                    aurora.execute(f"DELETE FROM {table} WHERE name = %s", (name,))
            for name in wanted:
                statement = f"INSERT INTO {table} VALUES (%s, %s, %s, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE"
                aurora.execute(f"{statement} mapping = %s", (name, platform, mapping.name, mapping.name))


def disown_tables(aurora: Aurora, database: str, mapping: str, platform: str) -> None:
    """Have what a mapping of a platform took be nobody's."""
    statement = f"DELETE FROM {_owners(database)} WHERE mapping = %s AND platform = %s"
    with aurora.transaction():
        aurora.execute(statement, (mapping, platform))


def _explain(mapping: Mapping, taken: str | None, platform: str, its_mapping: str) -> TargetTakenError:
    what = f"writes {taken}" if taken else f"would write rows to {mapping.database} under that name"
    return TargetTakenError(
        f"Mapping {mapping.name} {what}, as mapping {its_mapping} of the platform whose bucket is {platform} does."
        f" Where that one is gone: DELETE FROM {_owners(mapping.database)} WHERE platform = '{platform}'."
    )


def _owners(database: str) -> str:
    return f"{quote(database)}.{quote(OWNERS)}"
