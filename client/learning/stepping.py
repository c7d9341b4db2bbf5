"""One step of local training: the objective of a batch, its gradients, and what follows them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from client.local_terms.contract import LocalTerm
from client.optimisation.optimiser import Optimiser
from client.tasks.contract import Batch, CenterTask
from client.tasks.precision import FLOAT32
from fusion_models.full_precision import widen
from protocol.errors import ModelError


def take_step(
    model: nn.Module,
    optimiser: Optimiser,
    task: CenterTask,
    batch: Batch,
    terms: Sequence[LocalTerm],
    precision: AbstractContextManager[object] = FLOAT32,
) -> float:
    """The task's loss on a batch, after one step down the objective that `terms` add to; their `after_step` is not run.

    The network runs within `precision` (`client.tasks.precision`); its loss and what terms add are float32.

    Raises:
        ModelError: the objective is no longer finite.
    """
    for term in terms:
        term.remember(batch)
    with precision:
        loss, answer = task.loss(model, batch)
    found = [term.penalty(batch, widen(answer)) for term in terms]
    penalties = [penalty for penalty in found if penalty is not None]
    objective = loss.detach() + sum(penalty.detach() for penalty in penalties)
    if not torch.isfinite(objective):
        raise ModelError(f"training loss became {objective.item()} on cases {list(batch.cases)}; lower the rate")
    if loss.requires_grad:
        _backward(loss, penalties, optimiser)
        for term in terms:
            term.adjust_gradients()
        optimiser.move()
    return float(loss.item())


def _backward(loss: Tensor, penalties: Sequence[Tensor], optimiser: Optimiser) -> None:
    """Gradients of the whole objective, for the tensors that the batch's forward pass used.

    A penalty reaches the PET pathway in a CT-only step too; a gradient there, even of zeros, would let weight decay
    move a tensor that has no case behind it.
    """
    loss.backward(retain_graph=bool(penalties))
    if penalties:
        idle = optimiser.idle()
        torch.stack(tuple(penalties)).sum().backward()
        for parameter in idle:
            parameter.grad = None
