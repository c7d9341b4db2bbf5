"""What a center may say about the inside of a network beside its scores: named figures, each within its bounds.

    gate/<stage>/<ct or pet>/mean         mean of the gate's values
    gate/<stage>/<ct or pet>/std          their standard deviation; at most 0.5, as for all values in [0, 1]
    gate/<stage>/<ct or pet>/saturated    share of them that are nearly 0 or nearly 1

Stages of the encoder count from 0, the finest. Each figure is the mean over the validation cases that were scored with
CT and PET; those are the cases that stand behind it. A network without gates has none of them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from protocol.plain_text import SHOWN_OF_A_NAME, shown

BOUNDS: Mapping[str, tuple[float, float]] = {
    r"gate/[0-9]/(ct|pet)/mean": (0.0, 1.0),
    r"gate/[0-9]/(ct|pet)/std": (0.0, 0.5),
    r"gate/[0-9]/(ct|pet)/saturated": (0.0, 1.0),
}
STANDS_ON: Final = "ct+pet"
MAXIMUM_DIAGNOSTICS = 48


def diagnostic_findings(figures: Mapping[str, float]) -> Iterator[str]:
    """What of a center's diagnostics is not in the table, not within its bounds, or too much.

    The values stay out of the findings, since they may be a center's own.
    """
    if len(figures) > MAXIMUM_DIAGNOSTICS:
        yield f"has {len(figures)} figures, expected at most {MAXIMUM_DIAGNOSTICS}"
        return
    for name, value in figures.items():
        bounds = _bounds_of(name)
        if bounds is None:
            yield f"'{shown(name, SHOWN_OF_A_NAME)}' is not in the table, expected names of the forms {list(BOUNDS)}"
        elif type(value) not in {int, float} or not bounds[0] <= value <= bounds[1]:
            yield f"'{name}' is not a number in [{bounds[0]:g}, {bounds[1]:g}]"


def _bounds_of(name: str) -> tuple[float, float] | None:
    return next((bounds for pattern, bounds in BOUNDS.items() if re.fullmatch(pattern, name)), None)
