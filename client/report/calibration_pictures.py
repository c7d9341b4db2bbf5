"""How sure masks are, drawn: a reliability diagram before and after the temperature, and risk against coverage."""

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from client.scores.calibration import Tenth

BEFORE, AFTER, VOXELS = "#8a929c", "#0b4f7a", "#d7dde4"
DOTS_PER_INCH = 110


def calibration_png(before: Sequence[Tenth], after: Sequence[Tenth], risks: Sequence[tuple[float, float]]) -> bytes:
    """Both pictures side by side, with the voxels of each tenth below the diagram.

    Args:
        before: reliability at a temperature of 1. after: at the center's; empty where it has none.
        risks: coverage and mean of 1 - Dice, by rising coverage.
    """
    figure = Figure(figsize=(9.2, 4.4), layout="constrained", facecolor="white")
    panels = figure.subplot_mosaic([["diagram", "risk"], ["voxels", "risk"]], height_ratios=[3, 1])
    _draw_diagram(panels["diagram"], before, after)
    _draw_voxels(panels["voxels"], after or before)
    _draw_risk(panels["risk"], risks)
    for panel in panels.values():
        panel.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _draw_diagram(panel: Axes, before: Sequence[Tenth], after: Sequence[Tenth]) -> None:
    for tenths, colour, name in ((before, BEFORE, "temperature 1"), (after, AFTER, "the center's temperature")):
        points = [(t.predicted, t.observed) for t in tenths if t.predicted is not None and t.observed is not None]
        if points:
            panel.plot(*zip(*points, strict=True), "o-", color=colour, markersize=4, label=name)
    panel.plot([0, 1], [0, 1], color="#000000", linestyle=":", linewidth=1)
    panel.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share inside the contour", title="Reliability near the lesion")
    panel.set_xticklabels([])
    if any(tenth.voxels for tenth in before):
        panel.legend(loc="upper left", frameon=False, fontsize=8)


def _draw_voxels(panel: Axes, tenths: Sequence[Tenth]) -> None:
    middles = [(place + 0.5) / len(tenths) for place in range(len(tenths))]
    panel.bar(middles, [tenth.voxels for tenth in tenths], width=0.09, color=VOXELS)
    panel.set_yscale("symlog", linthresh=1)
    panel.set(xlim=(0, 1), xlabel="probability", ylabel="voxels")


def _draw_risk(panel: Axes, risks: Sequence[tuple[float, float]]) -> None:
    if risks:
        panel.plot(*zip(*risks, strict=True), "o-", color=AFTER, markersize=4)
    panel.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="coverage: share of test cases kept, surest first")
    panel.set(ylabel="mean of 1 - Dice", title="Risk of what is kept")
