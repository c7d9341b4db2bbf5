"""Learning without forgetting on the new center's own scans (arXiv 1606.09282, equation 2; no replay, no upload).

    beta T^2 mean_x KL(p_teacher(x) || p_student(x)),  p = softmax(logits / T),  T = 2

The teacher is the shared state accepted before the stage, run on the same inputs and setting. The mean is over voxels
where the teacher is worth listening to: its largest probability (at T = 1) exceeds 0.9, or the voxel lies within 10 mm
of the lesion it predicts, along each axis (a box of round(10 / spacing) voxels). T^2 keeps the gradient's size while
T changes (arXiv 1503.02531, section 2). Under a setting with PET a teacher whose PET pathway no earlier stage trained
has nothing to teach.

What is personal (a center's own adapter and norms) is the same in teacher and student: the term is zero as long as the
shared state is what it was. One more forward pass a step.
"""

from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from client.local_terms.contract import QuietTerm, Round
from fusion_models.losses import every_scale
from fusion_models.modality import restrict
from protocol.messages.tensors import NEEDS, PEFT, RESIDUAL, ROLE_GROUPS, Tensors, group_of, is_statistic, role_of

TEMPERATURE = 2.0
CONFIDENCE = 0.9
NEAR_MM = 10.0


class Distillation(QuietTerm):
    """beta T^2 KL to a frozen teacher over the voxels it is worth listening to.

    Args:
        teacher: the network as it was accepted.
        weight: beta.
        spacing_zyx_mm: of the grid.
        untaught: pathway groups that the teacher has not learnt.
    """

    def __init__(
        self, teacher: nn.Module, weight: float, spacing_zyx_mm: Sequence[float], untaught: Collection[str] = ()
    ) -> None:
        self._teacher = teacher.eval().requires_grad_(requires_grad=False)
        self._weight = weight
        self._radius_zyx = tuple(round(NEAR_MM / spacing) for spacing in spacing_zyx_mm)
        self._untaught = frozenset(untaught)

    def penalty(self, setting: str, ct: Tensor | None, pet: Tensor | None, logits: Tensor) -> Tensor | None:
        """The divergence from the teacher's answer to the same inputs; None where no voxel counts, or it knows none."""
        if any(NEEDS[group] <= set(setting.split("+")) for group in self._untaught):
            return None
        with torch.no_grad():
            taught = every_scale(self._teacher, *restrict(setting, ct, pet)[:2])[0]
        counted = worth_hearing(taught, self._radius_zyx)
        if not counted.any():
            return None
        return self._weight * TEMPERATURE**2 * divergence(taught, logits)[counted].mean()


def divergence(taught: Tensor, logits: Tensor) -> Tensor:
    """KL(p_teacher || p_student) at temperature T per voxel: (b, classes, z, y, x) twice -> (b, z, y, x)."""
    teacher, student = (F.log_softmax(x / TEMPERATURE, dim=1) for x in (taught, logits))
    return (teacher.exp() * (teacher - student)).sum(1)


def worth_hearing(taught: Tensor, radius_zyx: Sequence[int]) -> Tensor:
    """Voxels (b, z, y, x) where the teacher is confident, or near the lesion it predicts."""
    confident = taught.softmax(1).amax(1) > CONFIDENCE
    lesion = (taught.argmax(1, keepdim=True) > 0).to(taught.dtype)
    near = F.max_pool3d(lesion, [2 * r + 1 for r in radius_zyx], stride=1, padding=tuple(radius_zyx))
    return confident | (near[:, 0] > 0)


def build(around: Round, weight: float) -> Distillation | None:
    """The term against the accepted shared state; None where no shared tensor trains.

    None too where the reference has neither adapter nor pathway: what no earlier stage trained teaches nothing.
    """
    pathways = around.pathways
    learnt = {group_of(key, pathways) for key in around.reference if not is_statistic(key)}
    if not learnt & {PEFT, *pathways} or not around.common():
        return None
    teacher = around.make_model(teacher_tensors(around.received, around.reference))
    spacing_zyx_mm = around.settings.preprocessing.spacing_zyx_mm
    return Distillation(teacher, weight, spacing_zyx_mm, pathways.keys() - learnt)


def teacher_tensors(received: Tensors, reference: Tensors) -> Tensors:
    """The reference over what it leaves open: adapter and residual come from it alone, whole, or not at all."""
    shared = {PEFT, RESIDUAL}
    kept = {
        key: array
        for key, array in received.items()
        if not is_statistic(key) and ROLE_GROUPS.get(role_of(key)) not in shared
    }
    return kept | {key: array for key, array in reference.items() if not is_statistic(key)}
