"""Drawings of a center's fusion gates over the rounds: one panel for each stage of the encoder, CT beside PET."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from protocol.modalities import IMAGES
from server.results.charts import MARKS, STYLE, as_svg, mark_stages

PANEL_WIDTH, HEIGHT = 1.9, 2.1

Rows = Sequence[Mapping[str, float]]


def gates_among(diagnostics: Mapping[str, float]) -> dict[str, float]:
    """The figures that are about gates."""
    return {name: value for name, value in diagnostics.items() if name.startswith("gate/")}


def gates_svg(rows: Rows, stage_starts: Sequence[int], name: str) -> str:
    """Mean of each gate as a line, one standard deviation around it as a band, its saturated share as a thin line.

    Args:
        rows: diagnostics of each round (`protocol.messages.diagnostics`), at least one of them with a gate; empty where
            nothing is known.
        stage_starts: position (from 1) of the first round of each stage.
        name: prefix of every SVG id, unique in the page, made of letters, digits and hyphens.
    """
    gated = encoder_stages(rows)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PANEL_WIDTH * len(gated), HEIGHT), layout="constrained")
        panels = figure.subplots(1, len(gated), sharex=True, sharey=True, squeeze=False)[0]
        for panel, stage in zip(panels, gated, strict=True):
            for modality in IMAGES:
                _draw_gate(panel, rows, f"gate/{stage}/{modality}", modality)
            mark_stages(panel, stage_starts)
            panel.set_title(f"encoder stage {stage}", fontsize=9)
            panel.grid(axis="y", color="#e4e7eb", linewidth=0.7)
        panels[0].set_ylim(0, 1)
        panels[0].set_ylabel("gate")
        panels[0].set_xlim(0.4, len(rows) + 0.6)
        panels[0].xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
        return as_svg(figure, name)


def encoder_stages(rows: Rows) -> list[str]:
    """The stages of the encoder that have a gate, as they are numbered in the names."""
    return sorted({name.split("/")[1] for row in rows for name in row})


def _draw_gate(panel: Axes, rows: Rows, gate: str, modality: str) -> None:
    rounds, mark = range(1, len(rows) + 1), MARKS[modality]
    colour = mark.colour
    mean, std, saturated = (
        [row.get(f"{gate}/{figure}", math.nan) for row in rows] for figure in ("mean", "std", "saturated")
    )
    low, high = ([m + sign * s for m, s in zip(mean, std, strict=True)] for sign in (-1, 1))
    panel.fill_between(rounds, low, high, color=colour, alpha=0.15, linewidth=0)
    panel.plot(rounds, mean, color=colour, marker=mark.sign, linestyle=mark.line, markersize=3, linewidth=1.5)
    panel.plot(rounds, saturated, color=colour, linewidth=0.8, alpha=0.7)
