"""The environment that templates are filled in: everything they are given is text of others until it is escaped.

Autoescape is on for every template, whatever its name, and what is filled in passes `escape_lines` before: no control
character, no mark that turns text around and no lone surrogate reaches a page, whichever template forgets to ask for
it. A name that nobody gave is an error, and not an empty place.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dynaurora.escaping import escape_lines, escape_text
from dynaurora.pages import formatting, plots

if TYPE_CHECKING:
    from collections.abc import Iterable

TEMPLATES: Final = Path(__file__).parent / "templates"
STYLESHEET: Final = Markup((TEMPLATES / "page.css").read_text("utf-8") + plots.PLOT_STYLE)  # noqa: S704 (it is ours)
"""Of all pages, for the one `<style>` of each."""
STYLE_SOURCE: Final = f"'sha256-{base64.b64encode(hashlib.sha256(STYLESHEET.encode()).digest()).decode()}'"
"""The stylesheet as Content-Security-Policy names it: no other style applies (W3C, CSP Level 3, "hash-source")."""
POLICY: Final = f"default-src 'none'; style-src {STYLE_SOURCE}; img-src data:; base-uri 'none'; form-action 'none'"
"""What a page that stands alone may load: nothing."""
MOST_SHOWN: Final = 200
"""Characters of a value of others, such as a key, where a template names no other bound."""


def make_environment(folders: Iterable[Path] = ()) -> Environment:
    """Return what fills the templates of some folders, the first of them first, and those of all pages."""
    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=fit,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {
        "stylesheet": STYLESHEET,
        "policy": POLICY,
        "draw_lines": plots.draw_lines,
        "draw_span": plots.draw_span,
    }
    environment.filters |= {
        "shown": shorten,
        "count": formatting.format_count,
        "seconds": formatting.format_seconds,
        "rate": formatting.format_rate,
        "bytes": formatting.format_bytes,
        "quantity": formatting.format_quantity,
        "usd": formatting.format_usd,
        "time": show_time,
    }
    return environment


def fit(value: Any) -> Any:
    """Return what is filled in for a value: its text, fit to be shown; None is not shown at all."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else escape_lines(str(value))


def shorten(value: Any, most: int = MOST_SHOWN) -> str:
    """Return a value of others in one line of at most so many characters, and say how many it has if it has more."""
    text = str(value)
    line = escape_text(text, most)
    if len(text) <= most and len(line) <= most:
        return line
    return f"{line[:most]}… ({len(text):,} characters)"


def show_time(time: datetime | str | None) -> str:
    """Return a time, or one in ISO 8601, in UTC to the second."""
    return formatting.format_time(datetime.fromisoformat(time) if isinstance(time, str) else time)
