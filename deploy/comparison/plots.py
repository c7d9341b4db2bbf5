"""Drawings of a benchmark: averages with intervals, R of every arm, averages over local steps, bytes and average."""

import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deploy.comparison.declared_rows import metric_of
from protocol.storage.atomic_files import write_bytes
from reporting.formats import UNDEFINED, label, size
from reporting.formats import figure as shown
from reporting.tints import tint
from server.results.charts import STYLE, tenths_around

Table = Mapping[str, Any]
INK, SOFT, LINE, DEFAULT = "#1b232b", "#5a646f", "#e4e7eb", "#0b4f7a"
PALETTE = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F", "#A6761D", "#66A61E")
BOUNDS = {"upper": "#3d4650", "lower": "#8a929c"}
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "h")
DPI, TITLE_WIDTH = 200, 38


def write_plots(table: Table, folder: Path) -> None:
    """Replace the PNG files in `folder`, for the first modality setting of the table."""
    for name, figure in figures(table).items():
        write_bytes(folder / f"{name}.png", png(figure))


def figures(table: Table) -> dict[str, Figure]:
    """Every drawing by name; none while there is no score."""
    if not table["settings"]:
        return {}
    setting = table["settings"][0]
    with mpl.rc_context(STYLE):
        return {
            "averages": forest(table, setting),
            "matrices": heat_maps(table, setting),
            "curves": curves(table, setting),
            "bytes": traffic(table, setting),
        }


def png(figure: Figure) -> bytes:
    """The figure on white."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def colour_of(table: Table, arm: str) -> str:
    """The default in the house's blue, the bounds in greys, the others by their place."""
    role = table["arms"][arm]["role"]
    others = [name for name, entry in table["arms"].items() if not entry["role"]]
    return DEFAULT if role == "default" else BOUNDS.get(role) or PALETTE[others.index(arm) % len(PALETTE)]


def marker_of(table: Table, arm: str) -> str:
    """A sign for every arm, so that nothing hangs on colour alone."""
    return "o" if table["arms"][arm]["role"] == "default" else MARKERS[[*table["arms"]].index(arm) % len(MARKERS)]


def forest(table: Table, setting: str) -> Figure:
    """Average and worst center of every arm with their intervals; the band is the default's."""
    arms = table["arms"]
    figure = Figure(figsize=(9.2, 1.0 + 0.36 * len(arms)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, metric, title in zip(panels, ("average", "worst_center"), ("average", "worst center"), strict=True):
        for place, (name, arm) in enumerate(arms.items()):
            entry = arm["scores"][setting]["pooled"][metric]
            text = "" if entry is None else shown(entry["value"], metric_of(table).decimals)
            _interval(panel, place, entry, text, colour_of(table, name), marker_of(table, name))
            if entry and entry["value"] is not None and arm["role"] == "default":
                panel.axvspan(entry["low"], entry["high"], color=DEFAULT, alpha=0.08, linewidth=0)
        panel.set_title(f"{title}, {label(setting)}", loc="left", fontweight="bold", color=INK)
        panel.set_xlabel(f"test {metric_of(table).label} after the last stage")
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.grid(axis="x", color=LINE, linewidth=0.7)
        panel.set_axisbelow(True)
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
    panels[0].set_yticks(range(len(arms)), [arm["label"] for arm in arms.values()], color=INK)
    panels[0].set_ylim(len(arms) - 0.5, -0.5)
    return figure


def heat_maps(table: Table, setting: str) -> Figure:
    """R of every arm and order, mean over seeds; columns in the order in which the centers come."""
    found = [(title, matrix) for _, _, title, matrix in _matrices(table, setting)]
    columns = min(3, max(1, len(found)))
    rows = math.ceil(len(found) / columns) or 1
    tallest = max((len(matrix["stages"]) for _, matrix in found), default=1)
    figure = Figure(figsize=(3.5 * columns, (1.0 + 0.36 * tallest) * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    values = [value for _, matrix in found for row in matrix["values"] for value in row]
    for panel in panels[len(found) :]:
        panel.axis("off")
    for panel, (title, matrix) in zip(panels, found, strict=False):
        decimals = metric_of(table).decimals
        _heat_map(panel, title, matrix, scale=tenths_around(values), tallest=tallest, decimals=decimals)
    return figure


def curves(table: Table, setting: str) -> Figure:
    """Average over all centers after every stage, against the local steps spent; arms lie over one axis."""
    figure = Figure(figsize=(8.2, 4.2), layout="constrained")
    panel = figure.subplots()
    for name, place, title, matrix in _matrices(table, setting):
        is_default = table["arms"][name]["role"] == "default"
        panel.plot(
            matrix["local_steps"],
            [math.nan if value is None else value for value in matrix["average"]],
            color=colour_of(table, name),
            marker=marker_of(table, name),
            linestyle=("-", "--", ":", "-.")[place % 4],
            linewidth=2.2 if is_default else 1.4,
            markersize=5,
            label=title,
            zorder=3 if is_default else 2,
        )
    _plain(
        panel, "local steps, summed over centers", f"mean test {metric_of(table).label} over centers, {label(setting)}"
    )
    if panel.lines:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def traffic(table: Table, setting: str) -> Figure:
    """Bytes up and down of a run against its average with interval."""
    figure = Figure(figsize=(8.2, 4.0), layout="constrained")
    panel = figure.subplots()
    for name, arm in table["arms"].items():
        entry = arm["scores"][setting]["pooled"]["average"]
        if not entry or entry["value"] is None:
            continue
        total = max(1.0, arm["bytes_down"] + arm["bytes_up"])
        error = [[entry["value"] - entry["low"]], [entry["high"] - entry["value"]]]
        panel.errorbar(
            total,
            entry["value"],
            yerr=np.maximum(error, 0),
            color=colour_of(table, name),
            marker=marker_of(table, name),
            markersize=7,
            elinewidth=1.2,
            linestyle="none",
            label=arm["label"],
        )
    panel.margins(x=0.08)
    panel.set_xlim(left=0)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda count, _: size(count)))
    _plain(
        panel,
        "tensor bytes of one run, down and up together",
        f"average test {metric_of(table).label}, {label(setting)}",
    )
    if panel.containers:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _interval(panel: Axes, place: int, entry: Mapping[str, Any] | None, text: str, colour: str, marker: str) -> None:
    if entry is None or entry["value"] is None:
        row = panel.get_yaxis_transform()
        panel.text(0.02, place, UNDEFINED, color=SOFT, style="italic", va="center", transform=row)
        return
    panel.plot([entry["low"], entry["high"]], [place, place], color=colour, linewidth=2, solid_capstyle="round")
    panel.plot(entry["value"], place, marker=marker, color=colour, markersize=7, markeredgecolor="white")
    what = text + (f"  {entry['center']}" if entry.get("center") else "")
    panel.annotate(what, (entry["high"], place), (6, 0), textcoords="offset points", va="center", color=SOFT, size=8)
    panel.margins(x=0.42 if entry.get("center") else 0.25)


def _heat_map(
    panel: Axes, title: str, matrix: Table, *, scale: tuple[float, float], tallest: int, decimals: int
) -> None:
    """One matrix; all of a figure have cells of one size, so the shorter ones leave their lower rows empty."""
    for row, values in enumerate(matrix["values"]):
        for column, value in enumerate(values):
            colours = tint(value, *scale) if value is not None else None
            ground = colours.background if colours else "#eef0f3"
            panel.add_patch(mpl.patches.Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, color=ground, linewidth=0))
            text = shown(value, decimals)
            ink = colours.ink if colours else SOFT
            panel.text(column, row, text, ha="center", va="center", color=ink, fontsize=8 if value is not None else 6.5)
            if matrix["learned"][column] == row:
                outline = mpl.patches.Rectangle(
                    (column - 0.45, row - 0.43), 0.9, 0.86, fill=False, edgecolor=INK, lw=1.6
                )
                panel.add_patch(outline)
    panel.set_xlim(-0.5, len(matrix["centers"]) - 0.5)
    panel.set_ylim(tallest - 0.5, -0.5)
    panel.set_xticks(range(len(matrix["centers"])), matrix["centers"])
    panel.xaxis.tick_top()
    panel.set_yticks(range(len(matrix["stages"])), matrix["stages"])
    panel.tick_params(length=0, labelsize=8)
    panel.spines[:].set_visible(False)
    panel.set_title("\n".join(wrap(title, TITLE_WIDTH)), loc="left", fontsize=9, fontweight="bold", color=INK)


def _matrices(table: Table, setting: str) -> Iterator[tuple[str, int, str, Table]]:
    """Arm, place of the order in it, title and R, of all that have been scored."""
    for name, arm in table["arms"].items():
        for place, (order, entry) in enumerate(arm["scores"][setting]["by_order"].items()):
            if entry["matrix"] is not None:
                title = f"{arm['label']}, {order}" if len(arm["orders"]) > 1 else arm["label"]
                yield name, place, title, entry["matrix"]


def _plain(panel: Axes, across: str, upwards: str) -> None:
    panel.set_xlabel(across)
    panel.set_ylabel(upwards)
    panel.grid(color=LINE, linewidth=0.7)
    panel.set_axisbelow(True)
