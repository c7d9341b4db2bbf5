"""LoG-VMamba on CT and PET slices: the 2D host with a PET pathway (arXiv 2408.14415).

    f_i^C, f_i^P   maps of the shared encoder stages, CT through `encoder.patch_embed`, PET through its own `pet_stem`
    logits         decoder(t_0, ..., t_3),   t_i = f_i^C + beta * pet_merge_i(f_i^P);   pet_merge_i: one linear layer

The CT network keeps the names of `SwinUMamba` and, alone, its output bit for bit. Starts that are not the published one
take `pet_stem` as an offset on CT's and, as an identity, t_i through gains (`fusion_models.pathways`).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from fusion_models.adapters.routing import fused_rows
from fusion_models.gates import Gain
from fusion_models.log_vmamba.hosts import kaiming
from fusion_models.log_vmamba.pathway import identity, merge_maps
from fusion_models.log_vmamba.swin_umamba import SwinUMamba
from fusion_models.modality import present
from fusion_models.options import Sizes
from fusion_models.pathways import pathway_of
from fusion_models.slices import FusedMaps, SliceNetwork, SliceSegmenter, slice_input
from fusion_models.ssm.vss_encoder import PatchEmbed

# The host's recipe gives each image zero mean and unit variance. One map for all images does so for intensities spread
# evenly over [0, 1] and, unlike a map for each image, keeps what a Hounsfield unit or an SUV means.
INTENSITY = (math.sqrt(12), -math.sqrt(3))

LOG_2D_PAPER: Sizes = {
    "width": 96,
    "depths": (2, 2, 9, 2),
    "state": 16,
    "patch": 4,
    "decoder_depth": 2,
    "variant": "log",
    "placement": "interleaved",
    "compression": 8,
    "expansion": 2,
    "strides": (2, 2, 4),
    "squeezes": (2, 1, 1),
    "drop_path": 0.2,
    "neighbours": 0,
    "beta": 1.0,
    "pathway": "published",
    "gain": 0.0,
}
LOG_2D_SMALL: Sizes = {
    **LOG_2D_PAPER,
    "width": 16,
    "depths": (1, 1, 2, 1),
    "state": 4,
    "patch": 2,
    "decoder_depth": 1,
}
LOG_2D_TINY: Sizes = {**LOG_2D_SMALL, "width": 8, "depths": (1, 1), "state": 2, "strides": (2,), "squeezes": (1,)}


class LogVMamba2d(SliceNetwork):
    """A CT network with a PET pathway (`pet_stem`, `pet_merge`; `pet_gains`) beside it.

    Without the tensors of the pathway the state is that of `ct_network`, key by key.

    Args:
        ct_network: gives `encoder` and `decoder`, which stay its own.
        beta: weight of PET's maps.
        pathway: name in `PATHWAYS`. gain: what its gains are at first.

    Raises:
        ValueError: no pathway has this name.
    """

    def __init__(
        self, ct_network: SwinUMamba, *, beta: float = 1.0, pathway: str = "published", gain: float = 0.0
    ) -> None:
        super().__init__()
        self.shape, self.beta, self.pathway = ct_network.shape, beta, pathway_of(pathway, gain=gain)
        self.encoder, self.decoder = ct_network.encoder, ct_network.decoder
        stem = PatchEmbed(self.shape[0], self.encoder.widths[0], patch=self.encoder.patch_embed.patch)
        self.pet_stem = stem.apply(kaiming)
        self.pathway.draw(self.pet_stem)
        self.pet_merge = nn.ModuleList(identity(nn.Linear(width, width)) for width in self.encoder.widths)
        self.pet_gains = (
            nn.ModuleList(Gain(width, gain, axis=-1) for width in self.encoder.widths) if self.pathway.gated else None
        )

    def encode(self, ct: Tensor | None, pet: Tensor | None) -> FusedMaps:
        """t_0..t_3 of CT and PET slices, each (b, in_channels, y, x) or absent.

        Raises:
            ValueError: both are absent, or a shape is not the network's.
        """
        return FusedMaps(self.taps(ct, pet), tuple(present(ct, pet, self.shape)))

    def decode(self, features: FusedMaps) -> Tensor:
        """Logits (b, classes, y, x) of t_0..t_3."""
        with fused_rows(features.present):
            return self.decoder(features.maps)

    def decode_scales(self, features: FusedMaps) -> list[Tensor]:
        """Logits (b, classes, y / f, x / f) of each decoder output, finest first."""
        with fused_rows(features.present):
            return self.decoder.scales(features.maps)

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean of CT's coarsest map over its positions: (b, d)."""
        return self.taps(ct, None)[-1].mean(dim=(1, 2))

    def taps(self, ct: Tensor | None, pet: Tensor | None) -> list[Tensor]:
        """t_0..t_3 of the present modalities (b, y, x, c), finest first."""
        return merge_maps(
            present(ct, pet, self.shape),
            stems={
                "ct": self.encoder.patch_embed,
                "pet": partial(self.pathway.call, self.encoder.patch_embed, self.pet_stem),
            },
            encode=self.encoder.taps,
            merges=self.pet_merge,
            beta=self.beta,
            gains=self.pet_gains,
        )


def build_log_vmamba_2d(
    *,
    crop_zyx: Sequence[int],
    classes: int = 2,
    neighbours: int = 0,
    beta: float = 1.0,
    pathway: str = "published",
    gain: float = 0.0,
    **sizes: Any,
) -> SliceSegmenter:
    """The platform's builder: volumes in, volumes out; `sizes` are options of `SwinUMamba`.

    Args:
        crop_zyx: input size in voxels; its y and x are the slices' size.
        neighbours: slices before and after each slice that the network sees beside it.
        beta, pathway, gain: of `LogVMamba2d`.

    Raises:
        ValueError: sizes that do not fit each other.
    """
    ct_network = SwinUMamba(classes=classes, **slice_input(crop_zyx, neighbours), **sizes)
    network = LogVMamba2d(ct_network, beta=beta, pathway=pathway, gain=gain)
    return SliceSegmenter(network, neighbours=neighbours, intensity=INTENSITY)
