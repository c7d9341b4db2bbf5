"""A center's scores over the rounds, as inline SVG of a few hundred bytes: drawn anew whenever a round is done.

No style attribute: the page's policy forbids it. A modality setting is told apart by colour, line and sign, as in
the report.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reporting.formats import figure, label
from server.results.charts import MARKS, Curves

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 30, 8, 8, 22
INK, GRID, FAILED = "#5a646f", "#dde1e6", "#B2182B"
SIGNS: Mapping[str, str] = {
    "s": '<rect x="{x:.1f}" y="{y:.1f}" width="6" height="6" transform="translate(-3 -3)" fill="{colour}"/>',
    "o": '<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>',
    "^": '<path d="M{x:.1f} {y:.1f} m0 -4 l4 7 h-8 z" fill="{colour}"/>',
    "D": '<path d="M{x:.1f} {y:.1f} m0 -4 l4 4 l-4 4 l-4 -4 z" fill="{colour}"/>',
}


@dataclass(frozen=True)
class _Frame:
    """Where values lie: rounds 1 to `rounds` from left to right, scores 0 to 1 from below."""

    rounds: int

    def x(self, position: float) -> float:
        share = (position - 1) / max(self.rounds - 1, 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (1 - min(max(value, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)


def draw_curves(curves: Curves) -> str:
    """The scores of one center; rounds that it did not complete are crossed at the foot."""
    frame = _Frame(len(curves.loss))
    parts = [*_grid(frame), *_stages(frame, curves.stage_starts), *_failures(frame, curves.failed)]
    for setting, values in curves.scores.items():
        parts += _line(frame, setting, values)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'


def tell_curves(curves: Curves, decimals: int) -> str:
    """The drawing in words: first and last score of each modality setting."""
    told = []
    for setting, values in curves.scores.items():
        known = [value for value in values if value is not None and math.isfinite(value)]
        if known:
            told.append(f"{label(setting)} from {figure(known[0], decimals)} to {figure(known[-1], decimals)}")
    failed = sum(curves.failed)
    missed = [f"{failed} round{'' if failed == 1 else 's'} not completed"] if failed else []
    return "; ".join([*told, *missed]) or "no score yet"


def _grid(frame: _Frame) -> Iterator[str]:
    for value in (0.0, 0.5, 1.0):
        y = frame.y(value)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        yield f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end" font-size="11" fill="{INK}">{value:g}</text>'
    for position in dict.fromkeys((1, frame.rounds)):
        x, anchor = frame.x(position), "start" if position == 1 else "end"
        text = f"round {position}" if position == 1 else f"{position}"
        yield f'<text x="{x:.1f}" y="{HEIGHT - 7}" text-anchor="{anchor}" font-size="11" fill="{INK}">{text}</text>'


def _stages(frame: _Frame, starts: Sequence[int]) -> Iterator[str]:
    for start in starts[1:]:
        x = frame.x(start - 0.5)
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{INK}" stroke-dasharray="3 3"/>'
        )


def _failures(frame: _Frame, failed: Sequence[bool]) -> Iterator[str]:
    for position, missed in enumerate(failed, start=1):
        if missed:
            x, y = frame.x(position), frame.y(0.04)
            yield f'<path d="M{x:.1f} {y:.1f} m-4 -4 l8 8 m0 -8 l-8 8" stroke="{FAILED}" stroke-width="2"/>'


def _line(frame: _Frame, setting: str, values: Sequence[float | None]) -> Iterator[str]:
    """A line that has a gap where a score is unknown, and a sign at its last point."""
    mark = MARKS[setting]
    dashes = f' stroke-dasharray="{mark.dashes}"' if mark.dashes else ""
    pieces: list[list[tuple[float, float]]] = [[]]
    for position, value in enumerate(values, start=1):
        if value is None or not math.isfinite(value):
            pieces.append([])
        else:
            pieces[-1].append((frame.x(position), frame.y(value)))
    known = [piece for piece in pieces if piece]
    for piece in known:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
        yield f'<polyline points="{points}" fill="none" stroke="{mark.colour}" stroke-width="2"{dashes}/>'
    if known:
        x, y = known[-1][-1]
        yield SIGNS[mark.sign].format(x=x, y=y, colour=mark.colour)
