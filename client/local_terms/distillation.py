"""Learning without forgetting on the new center's own scans (arXiv 1606.09282, equation 2; no replay, no upload).

    beta T^2 mean_x KL(p_teacher(x) || p_student(x)),  p = softmax(logits / T),  T = 2

The teacher is the shared state accepted before the stage, run on the same inputs and setting. The divergence, and which
of the teacher's answers are worth hearing, are the task's (`client.tasks`). Under a setting with PET a teacher whose
PET pathway no earlier stage trained has nothing to teach; so for every pathway, and for the head of a task.

What is personal (a center's own adapter and norms) is the same in teacher and student: the term is zero as long as the
shared state is what it was. One more forward pass a step.
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from client.local_terms.contract import QuietTerm, Round
from client.tasks.contract import Batch, CenterTask
from fusion_models.adapters.keys import parameters_by_key
from protocol.messages.tensors import (
    NEEDS,
    PATHWAYS,
    PEFT,
    RESIDUAL,
    ROLE_GROUPS,
    Tensors,
    group_of,
    is_statistic,
    kind_of,
    role_of,
)
from protocol.modalities import parts_of
from protocol.tasks import TASKS


class Distillation(QuietTerm):
    """beta times the task's divergence from a frozen teacher.

    Args:
        teacher: the network as it was accepted.
        task: what the round trains for.
        weight: beta.
        untaught: pathway groups, and the task's own, that the teacher has not learnt.
    """

    def __init__(self, teacher: nn.Module, task: CenterTask, weight: float, untaught: Collection[str] = ()) -> None:
        self._teacher = teacher.eval().requires_grad_(requires_grad=False)
        self._task, self._weight = task, weight
        self._untaught = frozenset(untaught)

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:
        """The divergence from the teacher's answer to the same inputs; None where it teaches nothing, or knows none."""
        if any(NEEDS.get(group, frozenset()) <= parts_of(batch.setting) for group in self._untaught):
            return None
        with torch.no_grad():
            taught = self._task.answer(self._teacher, batch)
        found = self._task.divergence(taught, answer)
        return None if found is None else self._weight * found


def build(around: Round, weight: float) -> Distillation | None:
    """The term against the accepted shared state; None where no shared tensor trains.

    None too where the reference has neither adapter nor pathway: what no earlier stage trained teaches nothing.
    """
    pathways = around.pathways
    learnt = {kind_of(group_of(key, pathways)) for key in around.reference if not is_statistic(key)}
    if not learnt & {PEFT, *pathways} or not around.common():
        return None
    teacher = around.make_model(teacher_tensors(around.received, around.reference))
    heard = {*PATHWAYS, *TASKS[around.task.name].groups}
    # A row names more pathways than a network has: the published form of one has no gates.
    there = {group_of(key, pathways) for key in parameters_by_key(around.model)} & pathways.keys()
    return Distillation(teacher, around.task, weight, heard & there - learnt)


def teacher_tensors(received: Tensors, reference: Tensors) -> Tensors:
    """The reference over what it leaves open: adapter and residual come from it alone, whole, or not at all."""
    shared = {PEFT, RESIDUAL}
    kept = {
        key: array
        for key, array in received.items()
        if not is_statistic(key) and ROLE_GROUPS.get(role_of(key)) not in shared
    }
    return kept | {key: array for key, array in reference.items() if not is_statistic(key)}
