"""Variants: what Aurora may do otherwise than the gateway does, since nobody documents it. Tests ask for them."""

import re
from dataclasses import dataclass
from typing import Final

_NAME: Final = rb"((?:`[^`]+`|\w+)(?:\.(?:`[^`]+`|\w+))?)"
_CREATE_TEMPORARY: Final = re.compile(rb"\s*CREATE\s+TEMPORARY\s+TABLE\s+" + _NAME, re.IGNORECASE)
_INTO: Final = re.compile(rb"\s*(?:REPLACE\s+|IGNORE\s+)?INTO\s+TABLE\s+" + _NAME, re.IGNORECASE)
_WRITES: Final = re.compile(rb"\s*(?:INSERT|REPLACE)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Variant:
    """How a gateway differs; as it is, it does what MariaDB does."""

    commits_loads: bool = False
    """A load ends the transaction it is in, as DDL does: what was before it is committed with it."""
    refuses_temporary_tables: bool = False
    """A load into a temporary table is refused."""
    refuses_permanent_tables: bool = False
    """A load into any other table is refused."""
    omits_info: bool = False
    """Answers to loads and inserts lack the text of counts (`Records: 3  Duplicates: 0  Warnings: 0`)."""
    adds_notes: bool = False
    """Each load has a note that says nothing of its rows."""

    @property
    def before_load(self) -> tuple[bytes, ...]:
        """Statements that the server executes before a load."""
        return (b"COMMIT",) if self.commits_loads else ()

    @property
    def after_load(self) -> tuple[bytes, ...]:
        """Those that it executes after a load, before the client knows of it."""
        committed = (b"COMMIT",) if self.commits_loads else ()
        return (*committed, b"DROP TEMPORARY TABLE IF EXISTS mysql.no_such_table") if self.adds_notes else committed

    @property
    def adds_to_loads(self) -> bool:
        """Tell whether there are any."""
        return bool(self.before_load or self.after_load)

    def answers_itself(self, statement: bytes) -> bool:
        """Tell whether the answer to a statement, which is no load, has to be changed."""
        return self.omits_info and _WRITES.match(statement) is not None


def find_created_temporary(statement: bytes) -> bytes | None:
    """Return the name, without quotes, of the temporary table that a statement creates."""
    found = _CREATE_TEMPORARY.match(statement)
    return found[1].replace(b"`", b"") if found else None


def find_loaded(clauses: bytes) -> bytes:
    """Return the name, without quotes, of the table that a load's clauses name."""
    found = _INTO.match(clauses)
    return found[1].replace(b"`", b"") if found else b""
