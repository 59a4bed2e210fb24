"""`LOAD DATA FROM S3` as text: recognised, taken apart, and written again as `LOAD DATA INFILE`.

Statements are bytes: what their text means depends on the client's character set, but every character set a client may
use writes SQL's own words and punctuation as in ASCII.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

LOOKAHEAD_BYTES: Final = 4096
"""How much of a statement is looked at to recognise it; a longer leading comment hides a load."""

# Atomic and possessive throughout: a statement can be read in one way only, and is read in one pass.
_SPACE = rb"(?>\s|/\*(?!M?!).*?\*/|--(?=\s)[^\n]*(?:\n|\Z)|\#[^\n]*(?:\n|\Z))"
_STRING = rb"'(?:[^'\\]|\\.|'')*+'|\"(?:[^\"\\]|\\.|\"\")*+\""
_LOAD = re.compile(
    rb"%(space)s*+LOAD%(space)s++DATA%(space)s++FROM%(space)s++S3(?![\w$])" % {b"space": _SPACE},
    re.IGNORECASE | re.DOTALL,
)
_SOURCE = re.compile(
    rb"%(space)s*+(?:(FILE|PREFIX|MANIFEST)(?![\w$]))?%(space)s*+(%(string)s)" % {b"space": _SPACE, b"string": _STRING},
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(
    rb"%(space)s++|(?P<string>%(string)s)|`(?:[^`]|``)*`|(?P<word>[\w$]+)|." % {b"space": _SPACE, b"string": _STRING},
    re.DOTALL,
)
_ESCAPES: Final = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}
"""What a backslash and a letter mean in a string; before any other character, a backslash is nothing."""


class Source(StrEnum):
    """What the URL of a load names."""

    FILE = "FILE"
    PREFIX = "PREFIX"
    MANIFEST = "MANIFEST"


@dataclass(frozen=True)
class RowEnds:
    """How the rows of a text file end, as far as needed to put files one behind another."""

    terminator: bytes = b"\n"
    escape: bytes = b"\\"

    def complete(self, tail: bytes) -> bytes:
        r"""Return what to append to a file that ends with `tail` so that its last row ends.

        A server ends the last row of a file where the file ends, terminated or not. So does this: it adds a missing
        terminator, also where the last one is escaped and hence data, and doubles an escape character that has
        nothing behind it, which a server takes for itself.
        """
        if not tail or not self.terminator:
            return b""
        if tail.endswith(self.terminator) and not self._is_escaped(tail.removesuffix(self.terminator)):
            return b""
        return (self.escape if self._is_escaped(tail) else b"") + self.terminator

    def _is_escaped(self, text: bytes) -> bool:
        """Tell whether a character after `text` would be escaped: an odd number of escape characters ends it."""
        if not self.escape:
            return False
        return (len(text) - len(text.rstrip(self.escape))) % 2 == 1


@dataclass(frozen=True)
class LoadStatement:
    """A `LOAD DATA FROM S3` statement."""

    source: Source
    url: str
    clauses: bytes
    """All that follows the URL, from `[REPLACE | IGNORE] INTO TABLE` on, as written."""

    @property
    def row_ends(self) -> RowEnds:
        """How the rows of the statement's files end, by its LINES TERMINATED BY and FIELDS ESCAPED BY."""
        stated = dict(_read_formats(self.clauses))
        return RowEnds(stated.get(b"TERMINATED", b"\n"), stated.get(b"ESCAPED", b"\\"))

    def read_from(self, path: Path) -> bytes:
        """Return the statement that loads the same from a file on the server."""
        name = str(path).replace("\\", "\\\\").replace("'", "''")
        return b"LOAD DATA INFILE '" + name.encode() + b"' " + self.clauses


def is_load_from_s3(statement: bytes) -> bool:
    """Tell whether a statement, of which the beginning is enough, loads from S3."""
    return _LOAD.match(statement) is not None


def parse_load(statement: bytes) -> LoadStatement:
    """Take a statement apart that `is_load_from_s3` recognised; raises ValueError with the text that is no URL."""
    head = _LOAD.match(statement)
    source = _SOURCE.match(statement, head.end()) if head else None
    if head is None or source is None:
        rest = statement[head.end() if head else 0 :]
        raise ValueError(rest.decode(errors="replace").strip())
    kind, url = source.groups()
    return LoadStatement(
        Source(kind.decode().upper()) if kind else Source.FILE,
        _unquote(url).decode(errors="replace"),
        statement[source.end() :].lstrip(),
    )


def _read_formats(clauses: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (b"TERMINATED", terminator of lines) and (b"ESCAPED", escape character of fields) where stated."""
    section, previous = b"", [b"", b""]
    for token in _TOKEN.finditer(clauses):
        if token["word"]:
            word = token["word"].upper()
            section = word if word in (b"LINES", b"FIELDS", b"COLUMNS") else section
            previous = [previous[1], word]
        elif token["string"]:
            if section == b"LINES" and previous == [b"TERMINATED", b"BY"]:
                yield b"TERMINATED", _unquote(token["string"])
            if section in (b"FIELDS", b"COLUMNS") and previous == [b"ESCAPED", b"BY"]:
                yield b"ESCAPED", _unquote(token["string"])
            previous = [b"", b""]
        elif token[0] == b"(":
            return  # the list of columns: formats come before it


def _unquote(literal: bytes) -> bytes:
    """Return what a quoted string stands for."""
    quote, body = literal[:1], literal[1:-1]
    pattern = rb"\\(.)|" + quote + quote
    return re.sub(pattern, lambda m: _ESCAPES.get(m[1], m[1]) if m[1] is not None else quote, body, flags=re.DOTALL)
