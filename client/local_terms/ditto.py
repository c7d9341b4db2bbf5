"""Ditto: a center's own copy v of the shared tensors, trained beside them (arXiv 2012.04221, equation 1, algorithm 1).

    v <- v - step(grad F_i(v) + lambda (v - theta_t))

theta_t are the shared values received in this round. v sees the same batches and takes as many AdamW steps at the same
rate, on a second network, so that the shared tensors train as if it were not there; that doubles the compute and the
memory of a step. Of a recipe v has all but moments that are kept: any solver of its objective will do. v comes as
`key@own` and goes back as `key@own`; absent at first, it then starts from theta_t.

v moves in the shared tensors that the round trains: where the factors alternate, its factors alternate with them. What
it has of the others (`key@own` of another phase) stands still, also a DoRA magnitude outside its phase.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.local_terms.contract import QuietTerm, Round, array_of
from client.optimisation.average import Average
from client.optimisation.optimiser import Optimiser
from client.tasks.contract import Batch, CenterTask
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError
from protocol.messages.settings import Training
from protocol.messages.tensors import is_statistic

OWN = "@own"


class Ditto(QuietTerm):
    """Trains the own copy, which `model` holds, by one step after each step of the loop.

    Args:
        model: a network of its own that holds v.
        starts: theta_t of the tensors that v has, by key.
        task: what the round trains for; v has its loss.
        training: of the round.
        weight: lambda.
    """

    def __init__(
        self, model: nn.Module, starts: Mapping[str, Tensor], task: CenterTask, training: Training, weight: float
    ) -> None:
        self._model, self._task, self._weight = model.train(), task, weight
        self._starts = dict(starts)
        self._own = own_parameters(model, starts)
        self._optimiser, self._step = Optimiser(self._own, training), 0
        self._average = Average(self._own, training.recipe.ema) if training.recipe.ema else None
        self._batch: Batch | None = None

    def remember(self, batch: Batch) -> None:
        """Keep the batch for the own copy's step."""
        self._batch = batch

    def after_step(self) -> None:
        """One AdamW step of v on the batch of the step; no other randomness of the process is drawn from.

        Raises:
            ModelError: the loss is no longer finite.
        """
        if self._batch is None:
            return
        self._optimiser.begin_step(self._step)
        devices = {parameter.device for parameter in self._own.values() if parameter.is_cuda}
        with torch.random.fork_rng(devices=sorted(devices, key=str)):
            self._train_on(self._batch)
        self._step, self._batch = self._step + 1, None

    def outcome(self) -> dict[str, NDArray[np.float32]]:
        """V as `key@own`; its average, in a recipe with `ema`."""
        found = self._average.values if self._average else self._own
        return {f"{key}{OWN}": array_of(value) for key, value in found.items()}

    def _train_on(self, batch: Batch) -> None:
        loss, _ = self._task.loss(self._model, batch)
        if not torch.isfinite(loss):
            raise ModelError(
                f"the loss of the center's own copy became {loss.item()}; lower the rate or the weight of ditto"
            )
        if loss.requires_grad:
            loss.backward()
            self._pull()
            self._optimiser.move()
        if self._average:
            self._average.take_in()

    @torch.no_grad()
    def _pull(self) -> None:
        """Add lambda (v - theta_t) to the gradients that the batch gave."""
        for key, parameter in self._own.items():
            if parameter.grad is not None:
                parameter.grad += self._weight * (parameter - self._starts[key])


def own_parameters(model: nn.Module, keys: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """The parameters of `keys`, which then are the only ones of the network that require a gradient."""
    model.requires_grad_(requires_grad=False)
    found = {key: parameter for key, parameter in parameters_by_key(model).items() if key in keys}
    for parameter in found.values():
        parameter.requires_grad = True
    return found


def build(around: Round, weight: float) -> Ditto | None:
    """The own copy of the shared tensors in training; None where there are none.

    Raises:
        ModelError: a copy came with another shape than its tensor.
    """
    starts = {key: parameter.detach().clone() for key, parameter in around.common().items()}
    if not starts:
        return None
    tensors = {key: array for key, array in around.received.items() if not is_statistic(key)}
    return Ditto(around.make_model(tensors | _own_copies(around)), starts, around.task, around.training, weight)


def _own_copies(around: Round) -> dict[str, NDArray[np.float32]]:
    """What came of v, by the key of the tensor it is a copy of."""
    parameters = parameters_by_key(around.model)
    found = {key.removesuffix(OWN): array for key, array in around.received.items() if key.endswith(OWN)}
    for key, array in found.items():
        shape = tuple(parameters[key].shape) if key in parameters else None
        if array.shape != shape:
            raise ModelError(f"own copy '{key}{OWN}' has shape {array.shape}, expected {shape}")
    return found
