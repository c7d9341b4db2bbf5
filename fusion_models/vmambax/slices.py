"""vMambaX as a model of volumes: slices in, volumes out, intensities in the paper's range."""

from collections.abc import Sequence
from typing import Any

from fusion_models.options import Sizes
from fusion_models.slices import SliceSegmenter, slice_input
from fusion_models.vmambax.network import VMambaX

INTENSITY = (3.2, -1.6)
"""Scale and shift from [0, 1] to the paper's [-1.6, 1.6]."""

VMAMBAX_PAPER: Sizes = {
    "width": 96,
    "depths": (2, 2, 9, 2),
    "state": 16,
    "patch": 4,
    "decoder_depth": 4,
    "decoder_state": 4,
    "drop_path": 0.1,
    "merge": "cgm",
    "interaction": "dcim",
    "encoder": "shared",
    "mixer": "scan",
    "neighbours": 0,
    "pathway": "published",
    "gate": 0.0,
}
VMAMBAX_SMALL: Sizes = {
    **VMAMBAX_PAPER,
    "width": 16,
    "depths": (1, 1, 2, 1),
    "state": 4,
    "patch": 2,
    "decoder_depth": 1,
}
VMAMBAX_TINY: Sizes = {**VMAMBAX_SMALL, "depths": (1, 1), "state": 2, "decoder_state": 2}


NO_MAMBA_PAPER: Sizes = {**VMAMBAX_PAPER, "mixer": "gated-cnn"}
NO_MAMBA_SMALL: Sizes = {**VMAMBAX_SMALL, "mixer": "gated-cnn"}
# Two states a channel are fewer weights than a convolution of seven by seven has.
NO_MAMBA_TINY: Sizes = {**VMAMBAX_TINY, "state": 4, "decoder_state": 4, "mixer": "gated-cnn"}


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
