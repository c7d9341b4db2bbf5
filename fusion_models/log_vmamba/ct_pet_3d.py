"""LoG-VMamba on CT and PET volumes: the 3D host with a PET pathway (arXiv 2408.14415).

    F_i^C, F_i^P    maps of the shared encoder, CT through `stem`, PET through its own `pet_stem`;
                    i = 0 is the stem's own map, i = 1..n the stages'
    logits          decode(F_0, ..., F_n),   F_i = F_i^C + beta * pet_merge_i(F_i^P);   pet_merge_i: 1x1x1 convolution

The CT network keeps the names of `UMambaEnc` and, alone, its output bit for bit. Starts that are not the published one
take `pet_stem` as an offset on CT's and, as an identity, F_i through gains (`fusion_models.pathways`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from fusion_models.contract import Segmenter, refuse_ehr
from fusion_models.gates import Gain
from fusion_models.log_vmamba.hosts import kaiming
from fusion_models.log_vmamba.pathway import identity, merge_maps
from fusion_models.log_vmamba.umamba_enc import UMambaEnc, decode, encode, residual_stage
from fusion_models.modality import present
from fusion_models.options import Sizes
from fusion_models.pathways import pathway_of

LOG_3D_PAPER: Sizes = {
    "widths": (32, 64, 128, 256, 320),
    "blocks": (2, 2, 2, 1, 1),
    "decoder_blocks": (2, 2, 2, 1),
    "variants": ("l", "log", "log", "g", "g"),
    "strides": (1, 4, 2, 1, 1),
    "squeezes": (1, 1, 1, 2, 8),
    "compression": 16,
    "expansion": 1,
    "state": 16,
    "placement": "interleaved",
    "mixer": "scan",
    "drop_path": 0.1,
    "beta": 1.0,
    "pathway": "published",
    "gain": 0.0,
}
LOG_3D_SMALL: Sizes = {
    **LOG_3D_PAPER,
    "widths": (16, 32, 64),
    "blocks": (1, 1, 1),
    "decoder_blocks": (1, 1),
    "variants": ("l", "log", "g"),
    "strides": (1, 2, 1),
    "squeezes": (1, 1, 2),
    "compression": 8,
    "state": 4,
}
LOG_3D_TINY: Sizes = {
    **LOG_3D_SMALL,
    "widths": (8, 16),
    "blocks": (1, 1),
    "decoder_blocks": (1,),
    "variants": ("l", "log"),
    "strides": (1, 2),
    "squeezes": (1, 1),
    "state": 2,
}
NO_MAMBA_3D_PAPER: Sizes = {**LOG_3D_PAPER, "mixer": "gated-cnn"}
NO_MAMBA_3D_SMALL: Sizes = {**LOG_3D_SMALL, "mixer": "gated-cnn"}
NO_MAMBA_3D_TINY: Sizes = {**LOG_3D_TINY, "mixer": "gated-cnn"}


class LogVMamba3d(Segmenter):
    """A CT network with a PET pathway (`pet_stem`, `pet_merge`; `pet_gains`) beside it.

    Without the tensors of the pathway the state is that of `ct_network`, key by key.

    Args:
        ct_network: gives its modules, which stay its own.
        beta: weight of PET's maps.
        pathway: name in `PATHWAYS`. gain: what its gains are at first.

    Raises:
        ValueError: no pathway has this name.
    """

    def __init__(
        self, ct_network: UMambaEnc, *, beta: float = 1.0, pathway: str = "published", gain: float = 0.0
    ) -> None:
        super().__init__()
        self.shape, self.beta, self.pathway = ct_network.shape, beta, pathway_of(pathway, gain=gain)
        self.stem, self.stages, self.scans = ct_network.stem, ct_network.stages, ct_network.scans
        self.ups, self.decoder = ct_network.ups, ct_network.decoder
        self.last_up, self.last_block, self.head = ct_network.last_up, ct_network.last_block, ct_network.head
        widths = (ct_network.widths[0], *ct_network.widths)
        self.pet_stem = residual_stage(self.shape[0], widths[0], len(self.stem), stride=1).apply(kaiming)
        self.pathway.draw(self.pet_stem)
        self.pet_merge = nn.ModuleList(identity(nn.Conv3d(width, width, 1)) for width in widths)
        self.pet_gains = nn.ModuleList(Gain(width, gain) for width in widths) if self.pathway.gated else None

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> list[Tensor]:
        """F_0..F_n of CT and PET, each (b, in_channels, z, y, x) or absent.

        Raises:
            ValueError: both are absent, a size is not the network's, or there is EHR.
        """
        refuse_ehr(self, ehr)
        return self.taps(ct, pet)

    def decode(self, features: list[Tensor]) -> Tensor:
        """Logits (b, classes, z, y, x) of F_0..F_n."""
        return self.head(decode(features, [*self.ups, self.last_up], [*self.decoder, self.last_block]))

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean of CT's coarsest map over its voxels: (b, w_n)."""
        return self.taps(ct, None)[-1].mean(dim=(2, 3, 4))

    def taps(self, ct: Tensor | None, pet: Tensor | None) -> list[Tensor]:
        """F_0..F_n of the present modalities (b, c, z, y, x), finest first."""
        return merge_maps(
            present(ct, pet, self.shape),
            stems={"ct": self.stem, "pet": partial(self.pathway.call, self.stem, self.pet_stem)},
            encode=lambda stem: encode(stem, self.stages, self.scans),
            merges=self.pet_merge,
            beta=self.beta,
            gains=self.pet_gains,
        )


def build_log_vmamba_3d(
    *,
    crop_zyx: Sequence[int],
    classes: int = 2,
    beta: float = 1.0,
    pathway: str = "published",
    gain: float = 0.0,
    **sizes: Any,
) -> LogVMamba3d:
    """The platform's builder; `sizes` are options of `UMambaEnc`, the rest of `LogVMamba3d`.

    Raises:
        ValueError: sizes that do not fit each other.
    """
    ct_network = UMambaEnc(in_channels=1, classes=classes, size_zyx=crop_zyx, **sizes)
    return LogVMamba3d(ct_network, beta=beta, pathway=pathway, gain=gain)
