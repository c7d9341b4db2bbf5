"""PEMMA-Swin: a CT-pretrained Swin UNETR that learns PET through a small pathway (arXiv 2504.13645, section 2).

    e_C, e_P   (b, f, g)          patch embeddings of CT and PET; PET's convolution is CT's plus an offset of its own
    x_0        (b, f, g)          = e_C                             CT alone: the CT network
                                  = Fuse([e_C ; e_P] + R_C(e_C))    CT and PET
                                  = Fuse([e_P ; 0] + R_P(e_P))      PET alone
    Fuse       (b, 2f, g) -> (b, f, g)    1 x 1 x 1 convolution, [I | 0] at first
    R_M        (b, f, g) -> (b, 2f, g)    modality adapter: Conv1, GroupNorm, ReLU, Conv1, the last zero at first
    z          (b, f, z, y, x)    = z_C, z_C + z_P, z_P    full-resolution skips of what is present; z_P zero at first

So a fresh pathway changes no bit: CT and PET answer as CT alone does, and PET alone as the CT network does on PET less
the skip. A missing modality is None and takes its terms along. There is no mode, so no wrapper can keep one from an
inner network, and what is absent reaches nothing.

Where this differs from the published code, in wiring and never in a count (82,944 weights in the published size):
there, CT alone runs through Fuse and its adapter, which PET trains, and has to be learnt again; here it stays the CT
network whatever PET has taught, and R_C acts where CT meets PET. There, PET's embedding is copied from CT's once; an
offset is that copy at any backbone, also one that is trained or loaded after the pathway was drawn. And group
normalisation stands for batch normalisation, whose running statistics would not travel.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusion_models.adapters.routing import fused_rows
from fusion_models.contract import Segmenter, refuse_ehr
from fusion_models.modality import present
from fusion_models.offset import zero
from fusion_models.pemma.swin_unetr import (
    SwinFeatures,
    SwinStages,
    add_convolution_stack,
    check_sizes,
    decode,
    patch_embedding,
)
from fusion_models.pemma.unetr import skip_block


class ModalityAdapter(nn.Sequential):
    """R_M: residual of one modality's embedding in the pair that Fuse reads, (b, f, g) -> (b, 2f, g); zero at first."""

    def __init__(self, features: int) -> None:
        last = nn.Conv3d(features, 2 * features, 1)
        super().__init__(nn.Conv3d(features, features, 1), nn.GroupNorm(1, features), nn.ReLU(), last)
        zero(last)


class PemmaSwin(Segmenter):
    """Swin UNETR with a PET pathway (`pet_embedding`, `pet_skip`, `fuse`, `ct_adapter`, `pet_adapter`).

    Args:
        crop_zyx: input size in voxels, multiples of 2^(stages + 1) of two or more.
        features: f. depths, heads: blocks and attention heads of each stage. window: edge of attention windows.
        recompute: "none", or "blocks" to run Swin blocks again in backward in place of keeping their activations.
        classes: output channels, background included.

    Raises:
        ValueError: the sizes do not fit each other.
    """

    def __init__(
        self,
        *,
        crop_zyx: Sequence[int],
        features: int,
        depths: Sequence[int],
        heads: Sequence[int],
        window: int,
        recompute: str,
        classes: int = 2,
    ) -> None:
        super().__init__()
        check_sizes(crop_zyx, features=features, depths=depths, heads=heads, recompute=recompute)
        self.crop_zyx = tuple(crop_zyx)
        self.swinViT = SwinStages(1, features=features, depths=depths, heads=heads, window=window, recompute=recompute)
        self.encoder1 = skip_block(1, features)
        add_convolution_stack(self, features=features, stages=len(depths), classes=classes)
        self.pet_embedding = zero(patch_embedding(1, features))
        self.pet_skip = pet_skip(features)
        self.fuse = zero(nn.Conv3d(2 * features, features, 1))
        nn.init.dirac_(self.fuse.weight)
        self.ct_adapter, self.pet_adapter = ModalityAdapter(features), ModalityAdapter(features)

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> SwinFeatures:
        """Maps and skip of CT and PET, each (b, 1, z, y, x) or absent.

        Raises:
            ValueError: both are absent, a size is not the network's crop, or there is EHR.
        """
        refuse_ehr(self, ehr)
        with fused_rows(present(ct, pet, (1, *self.crop_zyx))):
            maps = self.swinViT(self.embed(ct, pet))
        return SwinFeatures(maps, self.skip(ct, pet))

    def decode(self, features: SwinFeatures) -> Tensor:
        """Logits (b, classes, z, y, x)."""
        return decode(self, features)

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean over positions of x_S of CT alone: (b, f 2^S)."""
        with fused_rows({"ct"}):
            return self.swinViT(self.embed(ct, None))[-1].mean((2, 3, 4))

    def embed(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        """x_0 (b, f, g) of the present modalities."""
        if pet is None:
            return self.swinViT.patch_embed(ct)
        e_pet = self.swinViT.patch_embed(pet) + self.pet_embedding(pet)
        if ct is None:
            return self.fuse(torch.cat([e_pet, torch.zeros_like(e_pet)], dim=1) + self.pet_adapter(e_pet))
        e_ct = self.swinViT.patch_embed(ct)
        return self.fuse(torch.cat([e_ct, e_pet], dim=1) + self.ct_adapter(e_ct))

    def skip(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        """z (b, f, z, y, x) of the present modalities."""
        if pet is None:
            return self.encoder1(ct)
        return self.pet_skip(pet) if ct is None else self.encoder1(ct) + self.pet_skip(pet)


def pet_skip(features: int) -> nn.Module:
    """CT's skip block for PET, its last convolutions zero and without the normalisations that follow them.

    An instance normalisation scales any weight, however small, to unit variance: one step after zero, the skip would be
    as loud as CT's. Neither has weights, so the count is the published one.
    """
    block = skip_block(1, features)
    for place in (2, 3):
        zero(block.layer.get_submodule(f"conv{place}"))
        block.layer.add_module(f"norm{place}", nn.Identity())
    return block
