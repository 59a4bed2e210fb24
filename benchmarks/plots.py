"""Small plots as SVG, the same bytes for the same figures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 36, 48
COLORS = ("#1f2937", "#b45309", "#1d4ed8", "#047857", "#9d174d")
STEPS = 4
"""Horizontal lines of the grid."""


def draw_lines(title: str, below: str, labels: Sequence[str], lines: Mapping[str, Sequence[float]]) -> str:
    """Return lines over labelled, evenly spaced places; each is named at its right end."""
    highest = max(max(values) for values in lines.values()) or 1.0
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(place: int) -> float:
        return LEFT + wide * place / max(1, len(labels) - 1)

    def y(value: float) -> float:
        return TOP + high * (1 - value / highest)

    parts = [_text(LEFT, 20, title, weight="bold")]
    for step in range(STEPS + 1):
        value = highest * step / STEPS
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{LEFT + wide}" stroke="#e5e7eb"/>')
        parts.append(_text(LEFT - 8, y(value) + 4, f"{value:.2f}", anchor="end"))
    parts += [_text(x(place), TOP + high + 18, label, anchor="middle") for place, label in enumerate(labels)]
    parts.append(_text(LEFT + wide / 2, HEIGHT - 10, below, anchor="middle"))
    taken: list[float] = []
    for color, (name, values) in zip(COLORS, lines.items(), strict=False):
        points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        height = y(values[-1]) + 4
        while any(abs(height - other) < 14 for other in taken):
            height -= 2
        taken.append(height)
        parts.append(_text(LEFT + wide + 8, height, name, fill=color))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        f' font-size="12">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", fill: str = "#374151", weight: str = "normal") -> str:
    look = f'text-anchor="{anchor}" fill="{fill}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>'
