"""LoG-VMamba on CT and PET volumes: two inputs, one encoder, one decoder (arXiv 2408.14415; pathways as 2404.13704).

    F_i^C, F_i^P    maps of the shared encoder, CT through `stem`, PET through its own `pet_stem`;
                    i = 0 is the stem's own map, i = 1..n the stages'
    F_i = F_i^C + beta * merge_i(F_i^P)    merge_i: a 1x1x1 convolution, width kept
    out = decode(F_0, ..., F_n)

A missing modality drops its terms; it is never replaced by zeros. The CT network keeps the names and, alone, the
output of `UMambaEnc`, bit for bit. merge_i starts as the identity: PET's maps first reach the decoder as CT's would.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusion_models.log_vmamba.umamba_enc import UMambaTrunk, kaiming, residual_stage


class LogVMamba3d(UMambaTrunk):
    """U-Mamba-Enc with LoG layers and a PET pathway (`pet_stem`, `pet_merge`) beside the CT network.

    Args:
        size_zyx: input size in voxels. classes: output channels, background included.
        beta: weight of PET's maps.
        sizes: as of `UMambaTrunk`.

    Raises:
        ValueError: sizes that do not fit each other.
    """

    def __init__(self, *, size_zyx: Sequence[int], classes: int = 2, beta: float = 1.0, **sizes: Any) -> None:
        super().__init__(in_channels=1, classes=classes, size_zyx=size_zyx, **sizes)
        self.beta = beta
        self.pet_stem = residual_stage(1, self.widths[0], len(self.stem), stride=1).apply(kaiming)
        self.pet_merge = nn.ModuleList(identity_convolution(width) for width in (self.widths[0], *self.widths))

    def forward(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        """Logits (b, classes, z, y, x) from CT and PET, each (b, 1, z, y, x) or absent.

        Raises:
            ValueError: both are absent, or a size is not the network's.
        """
        return self.decode(self.merged_maps(ct, pet))

    def merged_maps(self, ct: Tensor | None, pet: Tensor | None) -> list[Tensor]:
        """F_0..F_n of the present modalities, finest first; both go through the shared stages as one batch."""
        for name, image in (("ct", ct), ("pet", pet)):
            if image is not None:
                self.check_input(name, image)
        if ct is None and pet is None:
            raise ValueError("a case needs CT, PET or both; found neither")
        if pet is None:
            return self.encode(self.stem(ct))
        if ct is None:
            return self._weighted(self.encode(self.pet_stem(pet)))
        pairs = [each.chunk(2) for each in self.encode(torch.cat([self.stem(ct), self.pet_stem(pet)]))]
        of_pet = self._weighted([each for _, each in pairs])
        return [each + extra for (each, _), extra in zip(pairs, of_pet, strict=True)]

    def _weighted(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """beta * merge_i(F_i^P)."""
        return [self.beta * merge(each) for merge, each in zip(self.pet_merge, maps, strict=True)]


def identity_convolution(channels: int) -> nn.Conv3d:
    """A 1x1x1 convolution that starts as the identity."""
    convolution = nn.Conv3d(channels, channels, 1).apply(kaiming)
    nn.init.dirac_(convolution.weight)
    return convolution


def build_log_vmamba_3d(
    *, crop_zyx: Sequence[int], classes: int = 2, beta: float = 1.0, variants: str = "l log log g g", **sizes: Any
) -> LogVMamba3d:
    """The platform's builder; `variants` is a list in one string, for study files know no lists of words.

    Raises:
        ValueError: sizes that do not fit each other.
    """
    return LogVMamba3d(size_zyx=crop_zyx, classes=classes, beta=beta, variants=variants.split(), **sizes)
