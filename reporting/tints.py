"""Colours of a heat map's cells, the same on the pages of both sides."""

from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.colors import to_hex


@dataclass(frozen=True)
class Tint:
    """Background and ink of one heat-map cell, as CSS colours."""

    background: str
    ink: str


def tint(value: float, low: float = 0.0, high: float = 1.0) -> Tint:
    """Viridis colour of `value` on the scale low..high, with an ink one can read on it."""
    red, green, blue, _ = mpl.colormaps["viridis"]((value - low) / (high - low))
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    return Tint(background=to_hex((red, green, blue)), ink="#000000" if luminance > 0.18 else "#ffffff")
