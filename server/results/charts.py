"""Drawings of the coordinator's report: heat-map colours and the curves of one center, as inline SVG.

A drawing holds numbers and modality settings only; names of centers and stages stay in the page, which escapes them.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reporting.tints import tint

STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "concilium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a929c",
    "axes.labelcolor": "#3d4650",
    "xtick.color": "#5a646f",
    "ytick.color": "#5a646f",
}
DOWN, UP = "#6AAED6", "#08519C"
LOSS, FAILED = "#3d4650", "#B2182B"
LARGEST_DRAWN = 1e12
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Mark:
    """How a modality setting is drawn: colour, Matplotlib's sign and line, and the same two in SVG for legends."""

    colour: str
    sign: str
    line: str
    sign_svg: str
    dashes: str


SQUARE, TRIANGLE = '<rect x="11.5" y="1.5" width="7" height="7"{fill}/>', '<path d="M15 0 L19.5 9 L10.5 9 Z"{fill}/>'
CIRCLE, DIAMOND = '<circle cx="15" cy="5" r="4"{fill}/>', '<path d="M15 0 L20 5 L15 10 L10 5 Z"{fill}/>'
MARKS: Mapping[str, Mark] = {
    "ct": Mark("#0072B2", "s", "--", SQUARE, "6 3"),
    "pet": Mark("#D55E00", "^", ":", TRIANGLE, "2 3"),
    "ehr": Mark("#CC79A7", "D", "-.", DIAMOND, "6 2 1 2"),
    "ct+pet": Mark("#009E73", "o", "-", CIRCLE, ""),
    "ct+ehr": Mark("#56B4E9", "s", "-.", SQUARE, "6 2 1 2"),
    "pet+ehr": Mark("#E69F00", "^", "-.", TRIANGLE, "6 2 1 2"),
    "ct+pet+ehr": Mark("#882255", "D", "-", DIAMOND, ""),
}


@dataclass(frozen=True)
class Curves:
    """One center over the rounds of the study; every sequence has one entry a round, None where nothing is known.

    label: of the primary metric. scores: it on validation cases, by modality setting.
    stage_starts: position (from 1) of the first round of each stage, in stage order; `failed` marks rounds the
    center was asked for and did not complete; `down`, `up` in bytes.
    """

    stage_starts: tuple[int, ...]
    label: str
    scores: Mapping[str, tuple[float | None, ...]]
    loss: tuple[float | None, ...]
    down: tuple[int | None, ...]
    up: tuple[int | None, ...]
    failed: tuple[bool, ...]


def tenths_around(values: Sequence[float | None]) -> tuple[float, float]:
    """Ends of the colour scale: the defined values widened to whole tenths, (0, 1) where there is none."""
    defined = [value for value in map(_drawable, values) if math.isfinite(value)]
    if not defined:
        return 0.0, 1.0
    low, high = math.floor(min(defined) * 10) / 10, math.ceil(max(defined) * 10) / 10
    return (low, high) if high > low else (low, low + 0.1)


def gradient(low: float, high: float) -> str:
    """CSS gradient of the heat-map scale, from `low` on the left to `high` on the right."""
    stops = (tint(low + (high - low) * step / 8, low, high).background for step in range(9))
    return f"linear-gradient(to right, {', '.join(stops)})"


def curves_svg(curves: Curves, name: str) -> str:
    """Three panels over the rounds: validation scores per modality setting, training loss, megabytes down and up.

    Args:
        curves: what to draw.
        name: prefix of every SVG id, unique in the page, made of letters, digits and hyphens.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 5.0), layout="constrained")
        scores, loss, traffic = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1.6))
        _draw_scores(scores, curves)
        _draw_loss(loss, curves)
        _draw_traffic(traffic, curves)
        for panel in (scores, loss, traffic):
            mark_stages(panel, curves.stage_starts)
            panel.grid(axis="y", color="#e4e7eb", linewidth=0.7)
            panel.set_axisbelow(True)
        _number_stages(scores, curves)
        traffic.set_xlim(0.4, len(curves.loss) + 0.6)
        traffic.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
        traffic.set_xlabel("round")
        figure.align_ylabels()
        return as_svg(figure, name)


def _drawable(value: float | None) -> float:
    """A value that axes can be scaled to; NaN, which leaves a gap, for one that is undefined or beyond all measure."""
    return value if value is not None and abs(value) <= LARGEST_DRAWN else math.nan


def _draw_scores(panel: Axes, curves: Curves) -> None:
    for setting, values in curves.scores.items():
        panel.plot(
            range(1, len(values) + 1),
            [_drawable(value) for value in values],
            color=MARKS[setting].colour,
            marker=MARKS[setting].sign,
            linestyle=MARKS[setting].line,
            markersize=3.5,
            linewidth=1.5,
        )
    panel.set_ylim(0, 1)
    panel.set_ylabel(f"validation {curves.label}")


def _draw_loss(panel: Axes, curves: Curves) -> None:
    values = [_drawable(value) for value in curves.loss]
    panel.plot(range(1, len(values) + 1), values, color=LOSS, marker=".", linewidth=1.5)
    failed = [position for position, missed in enumerate(curves.failed, start=1) if missed]
    if failed:
        marks = [0.06] * len(failed)
        panel.plot(failed, marks, "x", color=FAILED, transform=panel.get_xaxis_transform(), clip_on=False)
    known = [0.0, *(value for value in values if math.isfinite(value))]
    panel.set_ylim(min(known), 1.08 * max(known) or 1.0)
    panel.set_ylabel("training loss")


def _draw_traffic(panel: Axes, curves: Curves) -> None:
    for offset, colour, counts in ((-0.2, DOWN, curves.down), (0.2, UP, curves.up)):
        places = [position + offset for position in range(1, len(counts) + 1)]
        panel.bar(places, [(count or 0) / 1e6 for count in counts], width=0.4, color=colour)
    panel.set_ylabel("MB")


def mark_stages(panel: Axes, starts: Sequence[int]) -> None:
    """A dashed line before the first round of each stage but the first."""
    for number, start in enumerate(starts, start=1):
        if number > 1:
            panel.axvline(start - 0.5, color="#8a929c", linewidth=0.9, linestyle=(0, (3, 2)))


def _number_stages(panel: Axes, curves: Curves) -> None:
    for number, start in enumerate(curves.stage_starts, start=1):
        panel.text(start - 0.45, 1.03, str(number), transform=panel.get_xaxis_transform(), fontweight="bold")


def legend_mark(setting: str) -> str:
    """The line and the sign of a modality setting, as inline SVG for a legend."""
    mark = MARKS[setting]
    dashes = f' stroke-dasharray="{mark.dashes}"' if mark.dashes else ""
    line = f'<line x1="0" y1="5" x2="30" y2="5" stroke="{mark.colour}" stroke-width="2"{dashes}/>'
    sign = mark.sign_svg.format(fill=f' fill="{mark.colour}"')
    return f'<svg width="30" height="10">{line}{sign}</svg>'


def as_svg(figure: Figure, name: str) -> str:
    """The figure as inline SVG with transparent ground, whose ids begin with `name`."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata=NO_METADATA, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for reference in (' id="', "url(#", 'href="#'):
        text = text.replace(reference, f"{reference}{name}-")
    return text
