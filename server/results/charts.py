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
COLOURS = {"ct": "#0072B2", "pet": "#D55E00", "ct+pet": "#009E73", "down": "#6AAED6", "up": "#08519C"}
MARKERS = {"ct": "s", "pet": "^", "ct+pet": "o"}
LINES = {"ct": "--", "pet": ":", "ct+pet": "-"}
LOSS, FAILED = "#3d4650", "#B2182B"
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Curves:
    """One center over the rounds of the study; every sequence has one entry a round, None where nothing is known.

    stage_starts: position (from 1) of the first round of each stage, in stage order; `failed` marks rounds the
    center was asked for and did not complete; `down`, `up` in bytes.
    """

    stage_starts: tuple[int, ...]
    dice: Mapping[str, tuple[float | None, ...]]
    loss: tuple[float | None, ...]
    down: tuple[int | None, ...]
    up: tuple[int | None, ...]
    failed: tuple[bool, ...]


def dice_range(values: Sequence[float | None]) -> tuple[float, float]:
    """Ends of the colour scale: the defined values widened to whole tenths, (0, 1) where there is none."""
    defined = [value for value in values if value is not None]
    if not defined:
        return 0.0, 1.0
    low, high = math.floor(min(defined) * 10) / 10, math.ceil(max(defined) * 10) / 10
    return (low, high) if high > low else (low, low + 0.1)


def gradient(low: float, high: float) -> str:
    """CSS gradient of the heat-map scale, from `low` on the left to `high` on the right."""
    stops = (tint(low + (high - low) * step / 8, low, high).background for step in range(9))
    return f"linear-gradient(to right, {', '.join(stops)})"


def curves_svg(curves: Curves, name: str) -> str:
    """Three panels over the rounds: validation Dice per modality setting, training loss, megabytes down and up.

    Args:
        curves: what to draw.
        name: prefix of every SVG id, unique in the page, made of letters, digits and hyphens.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 5.0), layout="constrained")
        dice, loss, traffic = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1.6))
        _draw_dice(dice, curves)
        _draw_loss(loss, curves)
        _draw_traffic(traffic, curves)
        for panel in (dice, loss, traffic):
            mark_stages(panel, curves.stage_starts)
            panel.grid(axis="y", color="#e4e7eb", linewidth=0.7)
            panel.set_axisbelow(True)
        _number_stages(dice, curves)
        traffic.set_xlim(0.4, len(curves.loss) + 0.6)
        traffic.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
        traffic.set_xlabel("round")
        figure.align_ylabels()
        return as_svg(figure, name)


def _draw_dice(panel: Axes, curves: Curves) -> None:
    for setting, values in curves.dice.items():
        panel.plot(
            range(1, len(values) + 1),
            [math.nan if value is None else value for value in values],
            color=COLOURS.get(setting, LOSS),
            marker=MARKERS.get(setting, "o"),
            linestyle=LINES.get(setting, "-"),
            markersize=3.5,
            linewidth=1.5,
        )
    panel.set_ylim(0, 1)
    panel.set_ylabel("validation Dice")


def _draw_loss(panel: Axes, curves: Curves) -> None:
    values = [math.nan if value is None else value for value in curves.loss]
    panel.plot(range(1, len(values) + 1), values, color=LOSS, marker=".", linewidth=1.5)
    failed = [position for position, missed in enumerate(curves.failed, start=1) if missed]
    if failed:
        marks = [0.06] * len(failed)
        panel.plot(failed, marks, "x", color=FAILED, transform=panel.get_xaxis_transform(), clip_on=False)
    known = [0.0, *(value for value in curves.loss if value is not None)]
    panel.set_ylim(min(known), 1.08 * max(known) or 1.0)
    panel.set_ylabel("training loss")


def _draw_traffic(panel: Axes, curves: Curves) -> None:
    for offset, colour, counts in ((-0.2, COLOURS["down"], curves.down), (0.2, COLOURS["up"], curves.up)):
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
