"""Weights that the released ClinicalFMamba holds and never uses, so that its published totals can be counted.

    2D  4,120,289 as released = 3,155,521 that learn + what is below; the paper's 4.05 M leaves out `scan_decays`
    3D  6,002,209 as released = 3,408,289 that learn + what is below; the paper says 6.01 M

For that count alone: nothing reads them and nothing trains them. `rest` is what the parts known by name leave open.
"""

from collections.abc import Mapping

import torch
from torch import nn

UNUSED: Mapping[int, Mapping[str, int]] = {
    2: {
        "shallow_fusion": 590_080,
        "reconstruction": 295_040,
        "first_downsampling": 4_128,
        "scan_decays": 73_728,
        "rest": 1_792,
    },
    3: {"shallow_fusion": 1_769_728, "reconstruction": 221_248, "scan_directions": 601_600, "rest": 1_344},
}
"""Axes -> name -> values. The rest in 2D would be three LayerNorms of 256 and one of 128."""


class UnusedWeights(nn.ParameterDict):
    """The unused weights of the released network of `axes` axes, each as one vector of zeros."""

    def __init__(self, axes: int) -> None:
        super().__init__({name: nn.Parameter(torch.zeros(count)) for name, count in UNUSED[axes].items()})
