"""What a server says: its numbers as our errors, and of its messages what others may read.

A server quotes values, which may be personal, and a trigger says whatever somebody wrote. What leaves this project of a
message is its number, the server's own words, the column and the line; and what a trigger says under a number and an
SQLSTATE that are not of rows, nor SIGNAL's own: nothing tells it from the server.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dynaurora.errors import (
    AccountLockedError,
    ConnectionLostError,
    DatabaseUnavailableError,
    DeadlockError,
    LockWaitError,
    MalformedBatchError,
    PasswordPolicyError,
    PrivilegeError,
    ReadOnlyError,
    ServerSettingsError,
    TargetMismatchError,
    TooManyConnectionsError,
    ViewInvalidError,
)

if TYPE_CHECKING:
    from dynaurora.errors import DynauroraError

ERRORS: dict[type[DynauroraError], frozenset[int]] = {
    ConnectionLostError: frozenset({0, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 2002, 2003, 2005, 2006})
    | {2013, 2014, 2055, 3169, 4031},
    TooManyConnectionsError: frozenset({1040, 1203, 1226}),
    DatabaseUnavailableError: frozenset({3, 1015, 1021, 1026, 1030, 1037, 1038, 1041, 1114, 1135, 3032, 3100, 3168}),
    ReadOnlyError: frozenset({1792, 1836, 1874}),
    DeadlockError: frozenset({1213}),
    LockWaitError: frozenset({1205, 1206, 3572}),
    AccountLockedError: frozenset({1820, 1862, 3118, 3955, 4150, 4151}),
    PasswordPolicyError: frozenset({1819, 3638, 3892}),
    MalformedBatchError: frozenset({1048, 1261, 1262, 1263, 1264, 1265, 1292, 1300, 1366, 1406, 1411, 1690})
    | {3140, 3141, 3150, 3151, 3156, 3819, 4025},
    TargetMismatchError: frozenset({1049, 1054, 1136, 1146, 1364}),
    ViewInvalidError: frozenset({1045, 1356, 1449}),
    PrivilegeError: frozenset({1044, 1142, 1143, 1227, 1370, 1959, 3523, 3530}),
    ServerSettingsError: frozenset({1153, 1301, 1661, 1662, 1663, 1664, 1665, 1666, 1667, 1787, 3748}),
}
"""Numbers of the MySQL 8.0 Error Message Reference and MariaDB's error codes; 2000 and up are the client's own."""
S3_ERRORS = frozenset({1871, 63985})
"""What Aurora MySQL 2 and 3 answer when a load from S3 fails on the S3 side; the message has S3's own reason."""
ROW_ERRORS = frozenset(
    {1048, 1118, 1216, 1264, 1265, 1292, 1366, 1406, 1411, 1416, 1452, 1526, 1644, 1690, 1713, 1748}
) | {3140, 3141, 3149, 3150, 3151, 3156, 3819, 4025}
"""What a server says of one row, as it is, and not of the table or the statement: a value that its column does not
take, a row too large for a page (1118) or for the undo log (1713), one that a CHECK (3819, 4025), a foreign key
(1216, 1452), a partition (1526, 1748) or a trigger's SIGNAL (1644) refuses."""
OF_ROWS = ROW_ERRORS | ERRORS[MalformedBatchError] | {1022, 1062, 1169, 1365, 1441, 1451, 1525, 1586, 1863, 3854}
"""Numbers of messages that may have a value of a row in them."""
SIGNALLED = 1644
"""What a trigger or a procedure says with SIGNAL, unless it chooses another number."""
OF_SIGNALS = "45"
"""What its SQLSTATE begins with then, 45000 unless it chooses another: the server's own never do (MySQL 8.0 Reference
Manual, "SIGNAL Statement")."""
LAST_NUMBER = 6999
"""Of a server's own to its clients; but for Aurora's of S3, others are somebody's choice."""
OF_DATA = ("22", "23")
"""What SQLSTATE begins with where a value is refused, or a row breaks a constraint (SQL:2016, part 2, section 24.1)."""
ITS_OWN = "a trigger or a procedure refused a row; its own message is left out, for it may quote values"
LEFT_OUT = "its message is left out, for it may quote values"
UNKNOWN_ERROR = 1105
"""Whose message is whatever somebody wrote."""
OF_STATEMENTS = frozenset({1193, 1235, 1238, 1290, 1396})
"""Numbers of what a server says of a statement, its version, its variables and its users."""
SPEAKING: frozenset[int] = frozenset().union(
    *(numbers for cls, numbers in ERRORS.items() if cls is not MalformedBatchError), S3_ERRORS, OF_STATEMENTS
)
"""Numbers of messages that have no value of a row in them: names, addresses and settings at most."""
NAMING = re.compile(r"Column '[\w$]{1,64}' cannot be null|Check constraint '[\w$]{1,64}' is violated")
"""Messages about a row that quote nothing but a name."""
BROKEN_KEY = r"a foreign key constraint fails( \(`[^'\"…]+\))?"
OF_A_PAGE = (
    r" \(> \d{4,5}\)\. Changing some columns to TEXT or BLOB (or using ROW_FORMAT=DYNAMIC or ROW_FORMAT=COMPRESSED )?"
    r"may help\. In current row format, BLOB prefix of \d{1,3} bytes is stored inline"
)
OF_A_TABLE = (
    r"\. The maximum row size for the used table type, not counting BLOBs, is \d{4,5}\. This includes storage overhead,"
    r" check the manual\. You have to change some columns to TEXT or BLOBs"
)
WORDS_OF_ROWS = re.compile(
    "|".join(
        (
            r"(Incorrect|Truncated incorrect) [A-Za-z]\w{0,31}( [A-Z]{1,20})? value: …",
            r"Invalid \w{1,32} character string: …|Cannot convert string …",
            r"Out of range value|Data too long|Data truncated|Duplicate entry …|Division by 0",
            r"Row \d+ doesn't contain data for all columns",
            r"Row \d+ was truncated; it contained more data than there were input columns",
            r"Column set to default value; NULL supplied to NOT NULL column …",
            r"[A-Z]+( [A-Z]+)? value is out of range in …",
            rf"Row size too large({OF_A_PAGE}|{OF_A_TABLE})|Undo log record is too big",
            rf"Cannot (add or update a child|delete or update a parent) row: {BROKEN_KEY}",
            r"CONSTRAINT `[\w$.]{1,64}` failed for [`\w$.]+",
            r"Table has no partition for value (…|from column_list)",
            r"Found a row not matching the given partition set",
            r"Cannot get geometry object from data you send to the GEOMETRY field",
            r"Invalid JSON text( in argument \d+ to function \w+)?: …",
            r"The JSON value is too big to be stored in a JSON column",
            r"The JSON (object contains a key name that is too long|binary value contains invalid data)",
            r"(Invalid|Out of range) JSON value for CAST to \w+ from column [\w$]+",
            r"Cannot create a JSON value from a string with CHARACTER SET …",
        )
    )
)
"""What a server itself says of a row, with its quotes left out: all else under these numbers is somebody's own text."""
SET_TO = re.compile(r"Variable '[\w$.@]{1,64}' can't be set to the value of ")
"""What comes before a value that a variable does not take."""
NOT_NULL = re.compile(r"Column '(?P<name>[\w$]{1,64})' cannot be null")
QUOTED = re.compile(r"(?<!\w)['\"].*?(?= at line \d+\Z|\Z)|(?<=\bvalue )[^\s…]+\Z", re.DOTALL)
"""All from a message's first quote on, but for a line's number: a value may have quotes of its own, and where the
server has cut the message off, at 512 bytes, the last quote is one of them."""
PLACE = re.compile(r"(?:for (?:column|key) ['`](?P<name>[\w.`$]{1,200})['`])?(?: at row (?P<row>\d+))?\Z")
"""What a message about a value ends with, where it names the column or the key and the row."""
MAX_MESSAGE = 500
"""Characters of a message that is passed on."""


def is_of_data(state: str | None) -> bool:
    """Tell whether an SQLSTATE says that a value was refused, or a constraint broken."""
    return (state or "").startswith(OF_DATA)


def describe_message(number: int, message: str, state: str | None = None) -> str:
    """Return what a server's message may say to others: nothing of a row but the column and the line it is in.

    Servers quote values, which may be personal, and triggers say whatever they like, under any number and SQLSTATE.
    Nothing is kept under a number that is SIGNAL's own, or no server's; of a message about a row, by its number or its
    SQLSTATE, only the server's own words, with the name and the line that it ends with; of one that speaks of
    statements, names and connections all; of another one what stands before its quotes. So a trigger that takes a
    number of these two is told as the server is, and what it puts in a column's place as a column. With the SQLSTATE
    that SIGNAL is made for, of class 45, no message comes here.
    """
    text = message.rstrip(".")
    if number in {SIGNALLED, UNKNOWN_ERROR} or (number > LAST_NUMBER and number not in S3_ERRORS):
        return ITS_OWN
    if (number in SPEAKING and not is_of_data(state)) or NAMING.fullmatch(text):
        return text[:MAX_MESSAGE]
    if setting := SET_TO.match(text):
        return f"{setting[0]}…"
    place = PLACE.search(text)
    told = QUOTED.sub("…", text[: place.start()] if place else text).strip()
    if (number in OF_ROWS or is_of_data(state)) and not WORDS_OF_ROWS.fullmatch(told):
        return LEFT_OUT
    name, row = (place["name"], place["row"]) if place else (None, None)
    named = f"column or key {re.split('[`.]+', name)[-1]}" if name else ""
    parts = [told[:MAX_MESSAGE], named, f"row {row}" if row else ""]
    return ", ".join(filter(None, parts))


def find_name(message: str) -> str | None:
    """Return the name that a server's message ends with, of a column or a key; a value is never taken for it."""
    text = message.rstrip(".")
    found = PLACE.search(text) or NOT_NULL.fullmatch(text)
    name = (found["name"] or "") if found else ""
    return re.split("[`.]+", name)[-1] or None
