"""Early-fusion Swin UNETR, the baseline that PEMMA-Swin is measured against: CT and PET as two input channels.

Same widths, stages and decoder as PEMMA-Swin, so that the comparison is capacity-matched. It needs both modalities: its
first convolutions mix them, so an absent one is refused, never filled with zeros.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fusion_models.contract import NoFeaturesOfCtError, Segmenter, refuse_ehr
from fusion_models.modality import present
from fusion_models.pemma.swin_unetr import SwinFeatures, SwinStages, add_convolution_stack, check_sizes, decode
from fusion_models.pemma.unetr import skip_block


class EarlyFusionSwin(Segmenter):
    """Swin UNETR over a two-channel input [CT, PET]; arguments as in `PemmaSwin`, without a PET pathway."""

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
        self.swinViT = SwinStages(2, features=features, depths=depths, heads=heads, window=window, recompute=recompute)
        self.encoder1 = skip_block(2, features)
        add_convolution_stack(self, features=features, stages=len(depths), classes=classes)

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> SwinFeatures:
        """Maps and skip of CT and PET, each (b, 1, z, y, x).

        Raises:
            ValueError: a modality is absent, a size is not the network's crop, or there is EHR.
        """
        refuse_ehr(self, ehr)
        if ct is None or pet is None:
            raise ValueError("early fusion needs CT and PET; found only one. Use a model with modality pathways")
        present(ct, pet, (1, *self.crop_zyx))
        image = torch.cat([ct, pet], dim=1)
        return SwinFeatures(self.swinViT(self.swinViT.patch_embed(image)), self.encoder1(image))

    def decode(self, features: SwinFeatures) -> Tensor:
        """Logits (b, classes, z, y, x)."""
        return decode(self, features)

    def pool_features(self, ct: Tensor) -> Tensor:  # noqa: ARG002  (there are none)
        """Its first convolutions mix CT with PET, so there are no features of CT alone.

        Raises:
            NoFeaturesOfCtError: always.
        """
        raise NoFeaturesOfCtError(self)
