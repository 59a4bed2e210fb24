"""A reader of batches, written from MySQL's description of LOAD DATA and not from the writer."""

import re

UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a"}


LABEL = re.compile(rb"\x1a\w+\.[0-9a-f]{16},")


def cut_label(line: bytes) -> bytes:
    """Return a line without the label that those of the stream begin with."""
    return LABEL.sub(b"", line, count=1) if line.startswith(b"\x1a") else line


def read_line(line: bytes) -> list[str | None]:
    """Return the fields of one line; a backslash takes the character behind it out of the syntax."""
    text = line.decode()
    fields = re.findall(r"((?:[^\\,\n]|\\.)*)[,\n]", text, re.DOTALL)
    assert sum(len(field) + 1 for field in fields) == len(text), "the line is not of the format"
    return [
        None
        if field == r"\N"
        else re.sub(r"\\(.)", lambda match: UNESCAPED.get(match[1], match[1]), field, flags=re.DOTALL)
        for field in fields
    ]
