"""vMambaX as a model of volumes: slices in, volumes out, intensities in the paper's range."""

from collections.abc import Sequence
from typing import Any

from fusion_models.slices import SliceSegmenter, slice_input
from fusion_models.vmambax.network import VMambaX

INTENSITY = (3.2, -1.6)
"""Scale and shift from [0, 1] to the paper's [-1.6, 1.6]."""


def build_vmambax(*, crop_zyx: Sequence[int], classes: int = 2, neighbours: int = 0, **sizes: Any) -> SliceSegmenter:
    """`VMambaX` on the slices of a volume.

    Args:
        crop_zyx: size of the crops; y and x as `VMambaX` takes them.
        classes: output channels, background included. neighbours: slices seen on each side; 0 copies the slice.
        sizes: options of `VMambaX`.

    Raises:
        ValueError: the crop is not three numbers, too thin for the neighbours, or of a size that the network refuses.
    """
    network = VMambaX(**slice_input(crop_zyx, neighbours), classes=classes, **sizes)
    return SliceSegmenter(network, neighbours=neighbours, intensity=INTENSITY)
