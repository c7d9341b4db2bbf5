"""What multi-stage fusion is measured against, from the same residual blocks (arXiv 2501.12425, section 3).

    early   one stream over the two channels [CT ; PET], one head       800,818 parameters in the paper's sizes
    late    two unimodal networks; p = (p_ct + p_pet) / 2               1,600,740

Unimodal networks are `MultistageClassifier` with one modality, or one half of late fusion: 800,370 parameters. Two
streams that meet in the head alone are `MultistageClassifier` with `fused_stages = []`.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fusion_models.contract import Assessor, NoFeaturesOfCtError
from fusion_models.multistage.head import pool
from fusion_models.multistage.network import check_images, check_stream
from fusion_models.multistage.norms import NORMS
from fusion_models.multistage.residual import make_stream, stage_widths


class EarlyFusionClassifier(Assessor):
    """One stream over CT and PET as two channels; arguments as in `MultistageClassifier`. It needs both."""

    def __init__(
        self, *, crop_zyx: Sequence[int], outputs: int, width: int, stages: int, blocks: int, norm: str
    ) -> None:
        super().__init__()
        check_stream(crop_zyx, stages=stages, norm=norm)
        widths = stage_widths(width, stages)
        self.stream = nn.Sequential(*make_stream(2, widths, blocks, NORMS[norm]))
        self.head = nn.Linear(widths[-1], outputs)

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        """Features (b, d) of both images, (b, 1, z, y, x) each.

        Raises:
            ValueError: a modality is absent, their shapes differ, or there is EHR.
        """
        images = check_images(self, ct, pet, ehr)
        if len(images) < 2:
            raise ValueError("early fusion needs CT and PET; found only one. Use a model with modality pathways")
        return pool(self.stream(torch.cat([images["ct"], images["pet"]], dim=1)))

    def answer(self, features: Tensor) -> Tensor:
        """Logits (b, outputs)."""
        logits: Tensor = self.head(features)
        return logits

    def pool_features(self, ct: Tensor) -> Tensor:  # noqa: ARG002  (the contract's argument)
        """There are none of CT alone."""
        raise NoFeaturesOfCtError(self)


class LateFusionClassifier(Assessor):
    """Two unimodal networks whose probabilities are averaged; arguments as in `MultistageClassifier`.

    To train each on its own, as late fusion does, a study gives ct+pet no modality share.
    """

    def __init__(
        self, *, crop_zyx: Sequence[int], outputs: int, width: int, stages: int, blocks: int, norm: str
    ) -> None:
        super().__init__()
        check_stream(crop_zyx, stages=stages, norm=norm)
        widths = stage_widths(width, stages)
        self.ct_stream, self.pet_stream = (
            nn.Sequential(*make_stream(1, widths, blocks, NORMS[norm])) for _ in range(2)
        )
        self.ct_head, self.pet_head = (nn.Linear(widths[-1], outputs) for _ in range(2))

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> dict[str, Tensor]:
        """Features (b, d) of each modality whose image, (b, 1, z, y, x), is there.

        Raises:
            ValueError: both are absent, their shapes differ, or there is EHR.
        """
        streams = {"ct": self.ct_stream, "pet": self.pet_stream}
        return {name: pool(streams[name](image)) for name, image in check_images(self, ct, pet, ehr).items()}

    def answer(self, features: Mapping[str, Tensor]) -> Tensor:
        """Logits of one modality, log p of both: (b, outputs)."""
        heads = {"ct": self.ct_head, "pet": self.pet_head}
        answers = [heads[name](found) for name, found in features.items()]
        return answers[0] if len(answers) == 1 else mean_probability(answers)

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean over positions of the CT stream's last map: (b, d)."""
        return self.encode(ct, None)["ct"]


def mean_probability(answers: Sequence[Tensor]) -> Tensor:
    """log of the mean of the softmax of each answer (b, outputs): logits of which the softmax is that mean."""
    return torch.logsumexp(torch.stack([answer.log_softmax(1) for answer in answers]), dim=0) - math.log(len(answers))
