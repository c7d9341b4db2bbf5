"""Centers as lines of a table, where they are too many to be drawn one by one: what became of each, and a small curve.

A drawing takes a tenth of a second and 20 KiB; of thousands nobody finds his own. A line takes a millisecond.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reporting.formats import UNDEFINED, figure
from server.results.charts import MARKS, Curves
from server.results.gate_charts import gates_among

Table = Mapping[str, Any]

DRAWN = 50
"""The most centers that the report draws."""
POINTS, WIDTH, HEIGHT = 40, 120, 24


@dataclass(frozen=True)
class CenterLine:
    """One center: rounds that it took part in and did not complete, its last scores and loss, and the scores' curve.

    scores: a text for each modality setting of the study. svg: the same over the rounds, 0 to 1 upwards.
    """

    center: str
    rounds: int
    missed: int
    scores: tuple[str, ...]
    loss: str
    svg: str


@dataclass(frozen=True)
class GateLine:
    """One center: how open its gates were when they were last told, a text for each."""

    center: str
    gates: tuple[str, ...]


def center_lines(found: Mapping[str, tuple[int, Curves]], settings: Sequence[str]) -> list[CenterLine]:
    """A line for each center that took part in a round.

    Args:
        found: center -> its rounds and figures.
        settings: the modality settings of the study.
    """
    return [
        CenterLine(
            center=center,
            rounds=rounds,
            missed=sum(curves.failed),
            scores=tuple(_last(curves.scores.get(setting, ())) for setting in settings),
            loss=_last(curves.loss),
            svg=_small_curves(curves),
        )
        for center, (rounds, curves) in found.items()
    ]


def gate_lines(rounds: Sequence[Table], centers: Sequence[str]) -> list[GateLine]:
    """The means of the gates that each center told last; centers without any are left out."""
    last = {row["center"]: gates for row in rounds if (gates := gates_among(row.get("diagnostics", {})))}
    return [GateLine(center, _means(last[center])) for center in centers if center in last]


def _means(gates: Mapping[str, float]) -> tuple[str, ...]:
    means = {name: value for name, value in sorted(gates.items()) if name.endswith("/mean")}
    return tuple(f"{name.removeprefix('gate/').removesuffix('/mean')} {figure(means[name], 2)}" for name in means)


def _last(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return figure(known[-1], 3) if known else UNDEFINED


def _small_curves(curves: Curves) -> str:
    """The scores as lines of at most `POINTS` points, in the colours and dashes of the page's legend."""
    lines = "".join(
        f'<path d="{path}" fill="none" stroke="{MARKS[setting].colour}" stroke-dasharray="{MARKS[setting].dashes}"/>'
        for setting, values in curves.scores.items()
        if (path := _path(values))
    )
    return f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{lines}</svg>'


def _path(values: Sequence[float | None]) -> str:
    """An SVG path through the defined values, with a gap where one is not; one that stands alone is a dot."""
    count = len(values)
    places = sorted({round(point * (count - 1) / max(1, POINTS - 1)) for point in range(POINTS)}) if count else []
    parts, pen_down = [], False
    for place in places:
        value = values[place]
        if value is None or not math.isfinite(value):
            pen_down = False
            continue
        x, y = WIDTH * place / max(1, count - 1), (HEIGHT - 2) * (1 - min(max(value, 0.0), 1.0)) + 1
        parts.append(f"{'L' if pen_down else 'M'}{x:.0f} {y:.1f}{'' if pen_down else 'h1'}")
        pen_down = True
    return "".join(parts)
