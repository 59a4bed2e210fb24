"""Text of others, made fit to be shown: in a log, a mail, a terminal.

Whoever writes an item chooses the names of its attributes. A line feed in one begins a line of its own, ESC commands a
terminal, and a right-to-left override turns what follows around.
"""

from __future__ import annotations

import re

UNSHOWN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180e"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)
"""Control characters, line and paragraph separators, what changes the direction of text or shows nothing, and lone
surrogates: the general categories Cc, Cf, Cs, Zl and Zp, and fillers among the letters that are blank (The Unicode
Standard, DerivedCoreProperties, "Default_Ignorable_Code_Point"). Selectors of variants, which emoji and Japanese names
have, stay."""
UNSHOWN_IN_LINES = re.compile(rf"(?![\n\t]){UNSHOWN.pattern}")


def escape_text(text: str, most: int | None = None) -> str:
    r"""Return a text in one line of what a screen shows, the rest as escapes (`\n`, `\x1b`, `\u202e`).

    Only the first `most` characters of it, where that is given.
    """
    text = text[:most]
    return UNSHOWN.sub(_escape, text) if UNSHOWN.search(text) else text


def escape_lines(text: str) -> str:
    """Return a text of some lines, in which nothing but their ends and tabs does what it is not seen to do."""
    return UNSHOWN_IN_LINES.sub(_escape, text) if UNSHOWN_IN_LINES.search(text) else text


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
