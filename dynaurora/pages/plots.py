"""Plots as SVG, the same bytes for the same figures.

In a page they take their colours from its stylesheet, light or dark; one that is a file of its own has them with it.
Each has a title and a description, which a screen reader says in its place. Text in them is escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from dynaurora.escaping import escape_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLOT_STYLE: Final = """
.plot { color: #5b616b; font: 12px system-ui, sans-serif; }
.plot text { fill: currentColor; }
.plot .grid { stroke: #e3e4e6; }
.plot .ground { fill: #ffffff; }
.plot .heading { fill: #1c1d1f; font-weight: 600; }
.plot .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.plot path.c1 { stroke: #1c1d1f; } .plot path.c2 { stroke: #a04b00; } .plot path.c3 { stroke: #1d4ed8; }
.plot path.c4 { stroke: #0b7048; } .plot path.c5 { stroke: #9d174d; }
.plot text.c1 { fill: #1c1d1f; } .plot text.c2 { fill: #a04b00; } .plot text.c3 { fill: #1d4ed8; }
.plot text.c4 { fill: #0b7048; } .plot text.c5 { fill: #9d174d; }
@media (prefers-color-scheme: dark) {
  .plot { color: #a3a9b3; }
  .plot .grid { stroke: #32363c; }
  .plot .ground { fill: #16181b; }
  .plot .heading { fill: #e8e9eb; }
  .plot path.c1 { stroke: #e8e9eb; } .plot path.c2 { stroke: #f0a35e; } .plot path.c3 { stroke: #8ab4ff; }
  .plot path.c4 { stroke: #4cc38a; } .plot path.c5 { stroke: #f59ac0; }
  .plot text.c1 { fill: #e8e9eb; } .plot text.c2 { fill: #f0a35e; } .plot text.c3 { fill: #8ab4ff; }
  .plot text.c4 { fill: #4cc38a; } .plot text.c5 { fill: #f59ac0; }
}
"""
"""How lines look; a line and its name have the same class."""
COLORS: Final = 5
WIDE: Final = 640
"""Of a plot's own coordinates, in which text is 12 high."""
_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 320, 56, 150, 36, 48
_STEPS = 4
"""Between the horizontal lines of the grid."""
_APART = 14
"""That names at the ends of lines are at least from each other."""
_SPAN = 1000
"""Of a bar's own coordinates: the whole."""
_LEAST = 10
"""Of a bar that is not nothing."""


def draw_lines(
    title: str,
    below: str,
    labels: Sequence[str],
    lines: Mapping[str, Sequence[float | None]],
    *,
    width: int = WIDE,
    digits: int = 2,
) -> Markup:
    """Return lines over evenly spaced places; each is named at its right end, and has a gap where it has no value.

    A place whose label is empty has none. The text is as large as the plot is wide on the screen, so that one for a
    narrow screen is drawn with a smaller `width`.
    """
    values = [value for line in lines.values() for value in line if value is not None]
    highest = max(values, default=0.0) or 1.0
    wide, high = width - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(place: int) -> float:
        return _LEFT + wide * place / max(1, len(labels) - 1)

    def y(value: float) -> float:
        return _TOP + high * (1 - value / highest)

    parts = [_text(_LEFT, 20, title, "heading")]
    for step in range(_STEPS + 1):
        value = highest * step / _STEPS
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(_LEFT, y(value), _LEFT + wide))
        parts.append(_text(_LEFT - 8, y(value) + 4, f"{value:,.{digits}f}", anchor="end"))
    parts += [_text(x(at), _TOP + high + 18, label, anchor="middle") for at, label in enumerate(labels) if label]
    parts.append(_text(_LEFT + wide / 2, _HEIGHT - 10, below, anchor="middle"))
    taken: list[float] = []
    for number, (name, line) in enumerate(lines.items()):
        color = f"c{number % COLORS + 1}"
        points = [None if value is None else (x(at), y(value)) for at, value in enumerate(line)]
        parts.append(Markup('<path class="line {}" d="{}"/>').format(color, _join(points)))
        last = next((point for point in reversed(points) if point), (0.0, y(0)))
        parts.append(_text(_LEFT + wide + 8, _find_free(last[1] + 4, taken), name, color))
    return _wrap(title, _describe(lines, digits), width, parts)


def draw_span(start: float, length: float, whole: float, kind: str) -> Markup:
    """Return a bar from `start` on, as a part of a `whole`, as wide as its place; the page's `fill-<kind>` colours it.

    What it shows stands beside it as a number, so it is none for a screen reader. What is not nothing is seen.
    """
    scale = _SPAN / whole if whole > 0 else 0.0
    wide = min(max(length * scale, _LEAST), _SPAN) if length > 0 else 0.0
    left = min(max(start * scale, 0.0), _SPAN - wide)
    return Markup(
        '<svg class="span" viewBox="0 0 {} 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="fill-rest" width="{}" height="10"/>'
        '<rect class="fill-{}" x="{:.1f}" width="{:.1f}" height="10"/></svg>'
    ).format(_SPAN, _SPAN, kind, left, wide)


def make_file(plot: Markup) -> str:
    """Return a plot as a file of its own, with its colours."""
    opening, rest = plot.split("</desc>", 1)
    return f'{opening}</desc>\n<style>{PLOT_STYLE}</style>\n<rect class="ground" width="100%" height="100%"/>{rest}'


def _join(points: Sequence[tuple[float, float] | None]) -> str:
    """Return the path through points that goes on anew after each gap; a point that is alone is seen, too."""
    path, is_on = "", False
    for point in points:
        if point:
            path += f"{'L' if is_on else 'M'}{point[0]:.1f} {point[1]:.1f}" + ("" if is_on else "h0.1")
        is_on = point is not None
    return path


def _find_free(height: float, taken: list[float]) -> float:
    while any(abs(height - other) < _APART for other in taken):
        height -= 2
    taken.append(height)
    return height


def _describe(lines: Mapping[str, Sequence[float | None]], digits: int) -> str:
    """Say what lines show: where each begins and ends, and between what it is."""
    said = []
    for name, line in lines.items():
        values = [value for value in line if value is not None]
        if not values:
            said.append(f"{name}: no values.")
            continue
        first, last, least, most = (f"{v:,.{digits}f}" for v in (values[0], values[-1], min(values), max(values)))
        said.append(f"{name}: from {first} to {last}, between {least} and {most}.")
    return " ".join(said)


def _wrap(title: str, description: str, width: int, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img">\n'
        "<title>{}</title><desc>{}</desc>\n{}\n</svg>\n"
    ).format(width, _HEIGHT, escape_text(title), escape_text(description), Markup("\n").join(parts))


def _text(x: float, y: float, text: str, look: str = "", anchor: str = "start") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}">{}</text>').format(
        x, y, look, anchor, escape_text(text)
    )
