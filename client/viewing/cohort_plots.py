"""The plots of a cohort as SVG: a point or a line for each case, so that the odd one is seen, and what is undefined."""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from client.data.manifest import File
from client.data.volume import Grid
from client.viewing.case_figures import HU_EDGES, CaseFigures

STYLE: Final[dict[Any, Any]] = {
    "font.size": 9.0,
    "svg.hashsalt": "concilium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a929c",
}
NO_METADATA: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))
BLUE, ORANGE, GREEN, INK = "#0072B2", "#D55E00", "#009E73", "#1b232b"
SIZE_INCHES: Final = (4.4, 2.7)
LEAST_SHARE: Final = 1e-6
SIGNS: Final[tuple[tuple[File, str, str], ...]] = (("ct", BLUE, "s"), ("pet", ORANGE, "^"))


@dataclass(frozen=True)
class Plot:
    """One drawing as a data address, what it shows in words, and how many cases it cannot show."""

    title: str
    address: str
    words: str
    undefined: int


def cohort_plots(figures: Sequence[CaseFigures], grids: Sequence[Mapping[File, Grid]]) -> tuple[Plot, ...]:
    """SUVmax, volumes, spacings and HU of all cases; `grids` are those of the same cases."""
    return (
        _spread("SUVmax in the contour", "SUV", [case.tumour_suv_max for case in figures], ORANGE),
        _spread("SUVmax of the whole PET", "SUV", [case.image_suv_max for case in figures], ORANGE),
        _spread("Volume of the contour", "ml", [case.volume_ml for case in figures], GREEN),
        _spacings(grids),
        _hounsfield([case.hu_shares for case in figures]),
    )


def _spread(title: str, unit: str, values: Sequence[float | None], colour: str) -> Plot:
    """Cases in rising order: the axis is logarithmic where the largest is ten times the smallest."""
    known = sorted(value for value in values if value is not None)
    figure, axes = _drawing(f"{title}, {unit}", "cases, rising")
    axes.plot(range(1, len(known) + 1), known, "o", color=colour, markersize=4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if known and known[0] > 0 and known[-1] > 10 * known[0]:
        axes.set_yscale("log")
    words = "no case has it"
    if known:
        words = f"{known[0]:.1f} to {known[-1]:.1f} {unit}, median {float(np.median(known)):.1f} {unit}"
    return Plot(title, _address(figure), f"{words}; {len(known)} case(s)", len(values) - len(known))


def _spacings(grids: Sequence[Mapping[File, Grid]]) -> Plot:
    """In-plane spacing against the distance of slices, CT and PET by sign and colour."""
    figure, axes = _drawing("between slices, mm", "in the plane, mm")
    words = []
    for file, colour, sign in SIGNS:
        steps = [grid[file].spacing_zyx_mm for grid in grids if file in grid]
        axes.plot(
            [step[2] for step in steps], [step[0] for step in steps], sign, color=colour, alpha=0.5, label=file.upper()
        )
        if steps:
            low, high = min(steps, key=lambda step: step[2])[2], max(steps, key=lambda step: step[2])[2]
            words.append(f"{file.upper()} {low:.2f} to {high:.2f} mm in the plane")
    axes.legend(frameon=False)
    axes.ticklabel_format(useOffset=False)
    axes.margins(0.15)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    undefined = sum(not {"ct", "pet"} & set(grid) for grid in grids)
    return Plot("Spacings", _address(figure), "; ".join(words) or "no case has an image", undefined)


def _hounsfield(shares: Sequence[tuple[float, ...] | None]) -> Plot:
    """A thin line for each CT, the median of all thick."""
    figure, axes = _drawing("share of voxels", "HU")
    known = np.array([share for share in shares if share is not None]).clip(LEAST_SHARE / 10)
    middles = (np.array(HU_EDGES[:-1]) + np.array(HU_EDGES[1:])) / 2
    for share in known:
        axes.plot(middles, share, color=BLUE, alpha=0.25, linewidth=0.7)
    if len(known):
        axes.plot(middles, np.median(known, axis=0), color=INK, linewidth=1.8)
        axes.set_yscale("log")
        axes.set_ylim(bottom=LEAST_SHARE)
    words = f"voxels from {HU_EDGES[0]} to {HU_EDGES[-1]} HU; thick: median of {len(known)} CT"
    return Plot("Distribution of HU", _address(figure), words, len(shares) - len(known))


def _drawing(vertical: str, horizontal: str) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot(xlabel=horizontal, ylabel=vertical)
    return figure, axes


def _address(figure: Figure) -> str:
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata=NO_METADATA)
    return f"data:image/svg+xml;base64,{b64encode(buffer.getvalue()).decode()}"
