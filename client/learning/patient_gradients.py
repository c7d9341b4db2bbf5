"""The gradients of several patients' own losses in one pass over the network.

    g_p = grad of L_p(theta_p), theta_p = theta        for every patient p of a step, from grad of sum_p L_p(theta_p)

Each patient has what trains to itself, as one tensor over patients that is stored once, and torch.func maps the loss
over both: the network's frozen part sees all patients as one batch. With neither a term that reads batches nor a module
that draws, the loop over patients gives the same gradients, one network pass each.
A single crop is a poor batch: torch computes a convolution of one small float32 volume on a CPU without its fast
kernels, so that patients one by one take four to six times as long.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from client.tasks.contract import Batch, CenterTask

IMAGES = ("ct", "pet", "ehr")


class PatientGradients(NamedTuple):
    """Each patient's loss (p,), and of every tensor the gradients (p, *shape), None where no loss reaches it."""

    losses: Tensor
    gradients: tuple[Tensor | None, ...]


class _Objective(nn.Module):
    """A patient's loss as a function of what trains and of the patient's batch."""

    def __init__(self, model: nn.Module, task: CenterTask) -> None:
        super().__init__()
        self.model, self._task = model, task

    def forward(self, setting: str, tensors: Mapping[str, Tensor]) -> Tensor:
        images = {name: tensors.get(name) for name in IMAGES}
        targets = {name: tensor for name, tensor in tensors.items() if name not in IMAGES}
        loss, _ = self._task.loss(self.model, Batch((), setting, targets=targets, **images))
        return loss


def differentiate_together(
    model: nn.Module, task: CenterTask, batches: Sequence[Batch], parameters: Sequence[nn.Parameter]
) -> PatientGradients:
    """What each patient's own loss asks of the parameters.

    Args:
        model: the network; none of its modules may draw or mix rows.
        task: whose loss it is.
        batches: one a patient, all with the same tensors (`group_alike`).
        parameters: what is differentiated.
    """
    objective = _Objective(model, task)
    names = {id(parameter): name for name, parameter in objective.named_parameters()}
    own = {names[id(parameter)]: _for_each(parameter, len(batches)) for parameter in parameters}

    def loss_of(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        loss: Tensor = functional_call(objective, dict(own), (batches[0].setting, tensors))
        return loss

    losses: Tensor = vmap(loss_of)(own, _stack(batches))
    gradients: Sequence[Tensor | None] = [None] * len(own)
    if own and losses.requires_grad:
        gradients = torch.autograd.grad(losses.sum(), list(own.values()), allow_unused=True)
    return PatientGradients(losses.detach(), tuple(gradients))


def _for_each(parameter: nn.Parameter, patients: int) -> Tensor:
    """A tensor for every patient (p, *shape), in the memory of one."""
    return parameter.detach().expand(patients, *parameter.shape).requires_grad_()


def group_alike(batches: Sequence[Batch], together: int) -> list[list[Batch]]:
    """Batches that one pass can take: of what a patient lacks, none of the others may hear.

    Args:
        batches: of a step.
        together: how many a pass may take, 2 or more. It takes 3 rather than leave one alone.
    """
    kinds: dict[tuple[str, ...], list[Batch]] = {}
    for batch in batches:
        kinds.setdefault(tuple(sorted(_tensors_of(batch))), []).append(batch)
    groups = []
    for found in kinds.values():
        passes = math.ceil(len(found) / max(together, 3))
        groups += [found[first::passes] for first in range(passes)]
    return groups


def patients_at_once(model: nn.Module, parameters: Collection[nn.Parameter], most: int) -> int:
    """How many patients a pass may see; 1 where they must go one by one.

    Each must have draws of its own, which a batch does not give, and their gradients together are to be no larger than
    the network: a backbone that trains as a whole goes one by one.

    Args:
        model: the network.
        parameters: what trains.
        most: patients that have as many crops as a plain step.
    """
    if any(_rate_of(module) > 0 for module in model.modules()):
        return 1
    size, trained = (sum(value.numel() for value in found) for found in (model.parameters(), parameters))
    return max(1, min(most, size // max(1, trained)))


def _rate_of(module: nn.Module) -> float:
    """With which probability a module drops something: torch's dropout, and MONAI's DropPath."""
    rates = (getattr(module, name, 0.0) for name in ("p", "drop_prob"))
    return max(float(rate) if isinstance(rate, int | float) else 0.0 for rate in rates)


def _tensors_of(batch: Batch) -> dict[str, Tensor]:
    """The images and targets that a patient has, by name."""
    images = {name: getattr(batch, name) for name in IMAGES}
    return {name: tensor for name, tensor in {**images, **batch.targets}.items() if tensor is not None}


def _stack(batches: Sequence[Batch]) -> dict[str, Tensor]:
    """The tensors of all patients by name, (p, b, ...) each."""
    found = [_tensors_of(batch) for batch in batches]
    return {name: torch.stack([tensors[name] for tensors in found]) for name in found[0]}
