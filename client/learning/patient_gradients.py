"""The gradients of several patients' own losses in one pass over the network.

    g_p = grad of L_p(theta)        for every patient p of a step, by torch.func: vmap over grad

The network sees all patients as one batch, and only what trains is differentiated for each of them; with neither a term
that reads batches nor a module that draws, the loop over patients gives the same gradients, one network pass each.
A single crop is a poor batch: torch computes a convolution of one small float32 volume on a CPU without its fast
kernels, so that patients one by one take four to six times as long.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from client.tasks.contract import Batch, CenterTask

IMAGES = ("ct", "pet", "ehr")


class PatientGradients(NamedTuple):
    """Each patient's loss (p,), and of every tensor the gradients (p, *shape)."""

    losses: Tensor
    gradients: tuple[Tensor, ...]


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
        batches: one a patient, all with the same tensors (`alike`).
        parameters: what is differentiated; where a patient's loss does not reach one, its gradient is 0.
    """
    objective = _Objective(model, task)
    names = {id(parameter): name for name, parameter in objective.named_parameters()}
    live = {names[id(parameter)]: parameter.detach() for parameter in parameters}

    def loss_of(live: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        loss: Tensor = functional_call(objective, dict(live), (batches[0].setting, tensors))
        return loss

    of_each = vmap(grad_and_value(loss_of), in_dims=(None, 0))
    gradients, losses = of_each(live, _stack(batches))
    return PatientGradients(losses, tuple(gradients[name] for name in live))


def group_alike(batches: Sequence[Batch], together: int) -> list[list[Batch]]:
    """Batches that one pass can take, in groups of up to 1.5 times `together`: of what a patient lacks, none may hear.

    One patient more than fits costs less in a group that is too large than alone.
    """
    kinds: dict[tuple[str, ...], list[Batch]] = {}
    for batch in batches:
        kinds.setdefault(tuple(sorted(_tensors_of(batch))), []).append(batch)
    groups = []
    for found in kinds.values():
        passes = math.ceil(len(found) / (1.5 * together))
        groups += [found[first::passes] for first in range(passes)]
    return groups


def patients_at_once(model: nn.Module, parameters: Collection[nn.Parameter], crops: int) -> int:
    """How many patients of one crop each a pass may see; 1 where they must go one by one.

    Each must have draws of its own, which a batch does not give, and their gradients together are to be no larger than
    the network: a backbone that trains as a whole goes one by one.

    Args:
        model: the network.
        parameters: what trains.
        crops: of a plain step, whose memory this takes.
    """
    if any(_rate_of(module) > 0 for module in model.modules()):
        return 1
    size, trained = (sum(value.numel() for value in found) for found in (model.parameters(), parameters))
    return max(1, min(crops, size // max(1, trained)))


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
