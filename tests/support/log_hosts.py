"""Sizes of LoG-VMamba's hosts as the model table has them, without what only the CT+PET models take."""

from typing import Any

from fusion_models.log_vmamba.ct_pet_2d import LOG_2D_PAPER, LOG_2D_TINY
from fusion_models.log_vmamba.ct_pet_3d import LOG_3D_PAPER, LOG_3D_SMALL
from fusion_models.options import Sizes


def of_host(sizes: Sizes) -> dict[str, Any]:
    """Options of `SwinUMamba` or `UMambaEnc`."""
    return {name: value for name, value in sizes.items() if name not in {"beta", "neighbours", "pathway", "gain"}}


PAPER_2D, PAPER_3D = of_host(LOG_2D_PAPER), of_host(LOG_3D_PAPER)
FOUR_STAGES: dict[str, Any] = of_host(LOG_2D_TINY) | {
    "depths": (1, 1, 1, 1),
    "strides": (2, 2, 2),
    "squeezes": (18, 4, 1),
}
THREE_STAGES: dict[str, Any] = of_host(LOG_3D_SMALL) | {"widths": (8, 8, 16), "state": 2}
