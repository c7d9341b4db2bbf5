"""Early-fusion UNETR, the baseline that PEMMA is measured against: CT and PET as two input channels.

Same widths and decoder as PEMMA-UNETR, so that the comparison is capacity-matched. It needs both modalities:
its first convolution mixes them, so an absent one cannot be dropped and is refused, never filled with zeros.
"""

from collections.abc import Sequence

import torch
from monai.networks.nets.vit import ViT
from torch import Tensor

from fusion_models.contract import NoFeaturesOfCtError, Segmenter, refuse_ehr
from fusion_models.modality import present
from fusion_models.pemma.unetr import (
    UnetrFeatures,
    add_convolution_stack,
    add_scale_heads,
    check_sizes,
    decode,
    decode_scales,
    hidden_taps,
    levels_of,
    skip_block,
)


class EarlyFusionUnetr(Segmenter):
    """UNETR over a two-channel input [CT, PET]; arguments as in `PemmaUnetr`, without a PET pathway."""

    def __init__(
        self,
        *,
        crop_zyx: Sequence[int],
        patch: int,
        width: int,
        depth: int,
        heads: int,
        mlp: int,
        features: int,
        classes: int = 2,
        supervised_scales: int = 1,
    ) -> None:
        super().__init__()
        check_sizes(crop_zyx, patch=patch, width=width, heads=heads)
        self.crop_zyx = tuple(crop_zyx)
        self.grid_zyx = tuple(size // patch for size in crop_zyx)
        self.taps = hidden_taps(depth, levels_of(patch))
        self.vit = ViT(2, self.crop_zyx, (patch,) * 3, width, mlp, depth, heads)
        self.encoder1 = skip_block(2, features)
        add_convolution_stack(self, width=width, features=features, classes=classes, levels=levels_of(patch))
        add_scale_heads(self, supervised_scales, features=features, classes=classes, levels=levels_of(patch))

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> UnetrFeatures:
        """Hidden states and skip of CT and PET, each (b, 1, z, y, x).

        Raises:
            ValueError: a modality is absent, a size is not the network's crop, or there is EHR.
        """
        refuse_ehr(self, ehr)
        if ct is None or pet is None:
            raise ValueError("early fusion needs CT and PET; found only one. Use a model with modality pathways")
        present(ct, pet, (1, *self.crop_zyx))
        image = torch.cat([ct, pet], dim=1)
        last, states = self.vit(image)
        return UnetrFeatures([*(states[tap] for tap in self.taps), last], self.encoder1(image), ("ct", "pet"))

    def decode(self, features: UnetrFeatures) -> Tensor:
        """Logits (b, classes, z, y, x)."""
        return decode(self, features, self.grid_zyx)

    def scales(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> list[Tensor]:
        """Logits (b, classes, z / f, y / f, x / f) of the supervised scales, f = 1, 2, .."""
        return decode_scales(self, self.encode(ct, pet, ehr), self.grid_zyx)

    def pool_features(self, ct: Tensor) -> Tensor:  # noqa: ARG002  (there are none)
        """Its first convolution mixes CT with PET, so there are no features of CT alone.

        Raises:
            NoFeaturesOfCtError: always.
        """
        raise NoFeaturesOfCtError(self)
