"""How far a student's answer is from a teacher's (arXiv 1606.09282, equation 2), and where that teacher is heard.

    T^2 mean_x KL(p_teacher(x) || p_student(x)),  p = softmax(logits / T),  T = 2

T^2 keeps the gradient's size while T changes (arXiv 1503.02531, section 2). In a volume the mean is over voxels where
the teacher's largest probability (at T = 1) exceeds 0.9, or which lie near the lesion it predicts.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 2.0
CONFIDENCE = 0.9


def divergence(taught: Tensor, logits: Tensor) -> Tensor:
    """KL(p_teacher || p_student) at temperature T of each answer: (b, classes, ...) twice -> (b, ...)."""
    teacher, student = (F.log_softmax(x / TEMPERATURE, dim=1) for x in (taught, logits))
    return (teacher.exp() * (teacher - student)).sum(1)


def worth_hearing(taught: Tensor, radius_zyx: Sequence[int]) -> Tensor:
    """Voxels (b, z, y, x) where the teacher is confident, or in a box of `radius_zyx` around the lesion it predicts."""
    confident = taught.softmax(1).amax(1) > CONFIDENCE
    lesion = (taught.argmax(1, keepdim=True) > 0).to(taught.dtype)
    near = F.max_pool3d(lesion, [2 * r + 1 for r in radius_zyx], stride=1, padding=tuple(radius_zyx))
    return confident | (near[:, 0] > 0)
