"""What multi-stage fusion is measured against, from the same residual blocks (arXiv 2501.12425, section 3).

    early   one stream over the two channels [CT ; PET], one head       800,818 parameters in the paper's sizes
    late    two unimodal networks; p = (p_ct + p_pet) / 2               1,600,740

Unimodal networks are `MultistageClassifier` with one modality, or one half of late fusion: 800,370 parameters. Two
streams that meet in the head alone are `MultistageClassifier` with `fused_stages = []`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusion_models.multistage.head import pool
from fusion_models.multistage.network import check_images, check_stream
from fusion_models.multistage.norms import NORMS
from fusion_models.multistage.residual import make_stream, stage_widths


class EarlyFusionClassifier(nn.Module):
    """One stream over CT and PET as two channels; arguments as in `MultistageClassifier`. It needs both."""

    def __init__(
        self, *, crop_zyx: Sequence[int], outputs: int, width: int, stages: int, blocks: int, norm: str
    ) -> None:
        super().__init__()
        check_stream(crop_zyx, stages=stages, norm=norm)
        widths = stage_widths(width, stages)
        self.stream = nn.Sequential(*make_stream(2, widths, blocks, NORMS[norm]))
        self.head = nn.Linear(widths[-1], outputs)

    def assess(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Answer (b, outputs) to images (b, 1, z, y, x); health records are not read.

        Raises:
            ValueError: a modality is absent, or their shapes differ.
        """
        if ct is None or pet is None:
            raise ValueError("early fusion needs CT and PET; found only one. Use a model with modality pathways")
        check_images(ct, pet)
        answer: Tensor = self.head(pool(self.stream(torch.cat([ct, pet], dim=1))))
        return answer


class LateFusionClassifier(nn.Module):
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

    def assess(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Answer (b, outputs), logits of one modality or log p of both; health records are not read.

        Raises:
            ValueError: both images are absent, or their shapes differ.
        """
        networks = {"ct": (self.ct_stream, self.ct_head), "pet": (self.pet_stream, self.pet_head)}
        images = check_images(ct, pet)
        answers = [head(pool(stream(images[name]))) for name, (stream, head) in networks.items() if name in images]
        return answers[0] if len(answers) == 1 else mean_probability(answers)

    def pool_features(self, ct: Tensor) -> Tensor:
        """Mean over positions of the CT stream's last map: (b, d)."""
        return pool(self.ct_stream(ct))


def mean_probability(answers: Sequence[Tensor]) -> Tensor:
    """log of the mean of the softmax of each answer (b, outputs): logits of which the softmax is that mean."""
    return torch.logsumexp(torch.stack([answer.log_softmax(1) for answer in answers]), dim=0) - math.log(len(answers))
