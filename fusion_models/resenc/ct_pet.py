"""The residual-encoder U-Net with a PET pathway: a thin encoder of PET's own whose maps are added at every level.

    M_i    maps (b, w_i, z / 2^i, ..) of the CT network's encoder: of CT, or where there is none of PET
    T_i    maps (b, t_i, z / 2^i, ..) of `pet_encoder`, the same kind of encoder, thin
    F_i    = M_i of CT                        CT alone: the CT network
           = M_i of CT  + Z_i T_i             CT and PET
           = M_i of PET + Z_i T_i             PET alone
    logits = decoder(F_0, ..)

Z_i is a 1x1x1 convolution that starts at zero (as the zero convolutions of arXiv 2302.05543): fresh, CT and PET answer
as CT alone does and PET alone as the CT network does on PET, bit for bit, and Z_i has a gradient from the first step.
No norm follows Z_i: it would scale any weight, however small, to full loudness. What is absent takes its terms along.

What PET teaches lies in T and Z, which no case without PET reaches; adapters on the CT network do not touch them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from fusion_models.adapters.routing import fused_rows, rows_of
from fusion_models.contract import Segmenter, refuse_ehr
from fusion_models.modality import present
from fusion_models.offset import zero
from fusion_models.options import Sizes
from fusion_models.resenc.unet import ResEncUNet, check_size, check_stages, decode, encode, kaiming, residual_encoder

RESENC_PAPER: Sizes = {
    "widths": (32, 64, 128, 256, 320, 320),
    "blocks": (1, 3, 4, 6, 6, 6),
    "pet_widths": (8, 16, 32, 64, 80, 80),
    "pet_blocks": (1, 1, 1, 1, 1, 1),
    "supervised_scales": 5,
}
RESENC_SMALL: Sizes = {
    "widths": (8, 16, 32, 72),
    "blocks": (1, 2, 2, 2),
    "pet_widths": (4, 8, 16, 36),
    "pet_blocks": (1, 1, 1, 1),
    "supervised_scales": 1,
}
RESENC_TINY: Sizes = {
    "widths": (4, 8),
    "blocks": (1, 1),
    "pet_widths": (2, 4),
    "pet_blocks": (1, 1),
    "supervised_scales": 1,
}


class ResEncFeatures(NamedTuple):
    """F_0..F_n, finest first, and the modalities that they are made of."""

    maps: list[Tensor]
    present: tuple[str, ...]


class PetEncoder(nn.Module):
    """T_0..T_n of PET (b, 1, z, y, x), finest first."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        # Not `stages`: peft takes a path that ends in an adapted one's, and these carry no adapter.
        self.stem, self.levels = residual_encoder(widths, blocks)
        self.apply(kaiming)

    def forward(self, pet: Tensor) -> list[Tensor]:
        """(b, 1, z, y, x) -> (b, t_i, z / 2^i, y / 2^i, x / 2^i) each."""
        return encode(pet, self.stem, self.levels)


class CtPetResEnc(Segmenter):
    """A CT network with a PET pathway (`pet_encoder`, `pet_merge`) beside it.

    Without the tensors of the pathway the state is that of `ResEncUNet`, key by key.

    Args:
        crop_zyx: a size that it is to take; forward also takes others, multiples of 2^(stages - 1).
        widths, blocks: channels and residual blocks of each stage of the CT network, finest first.
        pet_widths, pet_blocks: those of PET's encoder, which has as many stages.
        supervised_scales: scales that are trained, finest first.
        classes: output channels, background included.

    Raises:
        ValueError: sizes that do not fit each other.
    """

    def __init__(
        self,
        *,
        crop_zyx: Sequence[int],
        widths: Sequence[int],
        blocks: Sequence[int],
        pet_widths: Sequence[int],
        pet_blocks: Sequence[int],
        supervised_scales: int,
        classes: int = 2,
    ) -> None:
        super().__init__()
        check_size(crop_zyx, len(widths))
        check_pathway(len(widths), pet_widths, pet_blocks)
        ct_network = ResEncUNet(classes=classes, widths=widths, blocks=blocks, supervised_scales=supervised_scales)
        self.stem, self.stages = ct_network.stem, ct_network.stages
        self.decoder, self.heads = ct_network.decoder, ct_network.heads
        self.pet_encoder = PetEncoder(pet_widths, pet_blocks)
        self.pet_merge = nn.ModuleList(
            zero(nn.Conv3d(own, width, 1)) for own, width in zip(pet_widths, widths, strict=True)
        )

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> ResEncFeatures:
        """F_0..F_n of CT and PET, each (b, 1, z, y, x) or absent.

        Raises:
            ValueError: both are absent, their shapes differ, a size does not halve often enough, or there is EHR.
        """
        refuse_ehr(self, ehr)
        base = pet if ct is None else ct
        size_zyx = () if base is None else base.shape[2:]
        images = present(ct, pet, (1, *size_zyx))
        check_size(size_zyx, len(self.stages))
        first = next(iter(images))
        with rows_of({first: len(images[first])}, axis=0, beside=images):
            maps = encode(images[first], self.stem, self.stages)
        if pet is not None:
            merged = (merge(own) for merge, own in zip(self.pet_merge, self.pet_encoder(pet), strict=True))
            maps = [each + extra for each, extra in zip(maps, merged, strict=True)]
        return ResEncFeatures(maps, tuple(images))

    def decode(self, features: ResEncFeatures) -> Tensor:
        """Logits (b, classes, z, y, x) of F_0..F_n."""
        logits: Tensor = self.heads[0](self._decoded(features)[0])
        return logits

    def scales(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> list[Tensor]:
        """Logits (b, classes, z / 2^i, y / 2^i, x / 2^i) of the `supervised_scales` finest scales."""
        maps = self._decoded(self.encode(ct, pet, ehr))
        return [head(each) for head, each in zip(self.heads, maps, strict=False)]

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean of CT's coarsest map over its voxels: (b, w_n)."""
        return self.encode(ct, None).maps[-1].mean(dim=(2, 3, 4))

    def _decoded(self, features: ResEncFeatures) -> list[Tensor]:
        """The decoder's maps, finest first."""
        with fused_rows(features.present):
            return decode(features.maps, self.decoder)


def check_pathway(stages: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
    """Refuse an encoder of PET that has not one width and one count of blocks for each stage of the CT network."""
    if len(widths) != stages:
        raise ValueError(f"pet_widths must have {stages} entries, one for each stage, found {tuple(widths)}")
    check_stages(widths, blocks, supervised_scales=1)
