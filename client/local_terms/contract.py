"""What every local term is given and what the training loop calls on it.

The order of calls within one step of the loop:

    term.remember(batch)                                 what the step trains on
    loss = loss + term.penalty(batch, answer)            None adds nothing
    loss.backward()
    term.adjust_gradients()
    optimiser.step()
    term.after_step()

and once after the last step `term.outcome()`. Terms are built after the received tensors were loaded and after
`requires_grad` was set, because the tensors that require a gradient are those the round trains. `batch` is what the
network was called with, `answer` the output that the task's loss is about (`client.tasks.contract`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.tasks.contract import Batch, CenterTask
from fusion_models.adapters.keys import parameters_by_key
from protocol.messages.settings import StudySettings, Training
from protocol.messages.tensors import PERSONAL, ROLE_GROUPS, Tensors, role_of


class LocalTerm(Protocol):
    """One term of a center's local objective."""

    def remember(self, batch: Batch) -> None:
        """See the batch that the step trains on."""
        ...

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:
        """A scalar to add to the loss of the step, or None."""
        ...

    def adjust_gradients(self) -> None:
        """Change the gradients in place, after backward and before the optimiser's step."""
        ...

    def after_step(self) -> None:
        """Do what follows the optimiser's step."""
        ...

    def outcome(self) -> dict[str, NDArray[np.float32]]:
        """Statistics (keys with `@`) that go back with the payload."""
        ...


class QuietTerm:
    """A local term that does nothing; a term overrides what it needs."""

    def remember(self, batch: Batch) -> None:
        """Ignore the batch."""

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:  # noqa: ARG002  (the contract's arguments)
        """Add nothing."""
        return None

    def adjust_gradients(self) -> None:
        """Leave the gradients as they are."""

    def after_step(self) -> None:
        """Do nothing."""

    def outcome(self) -> dict[str, NDArray[np.float32]]:
        """Nothing goes back."""
        return {}


@dataclass(frozen=True)
class Round:
    """What a term may build on.

    received: the instruction's tensors, statistics with `@` included. reference: the shared state accepted before the
    stage. pathways: group -> module prefixes of the model's pathways. make_model: a network with the given tensors (no
    statistics) on the frozen backbone, on the same device. steps: how many steps the loop will take. task: what the
    round trains for.
    """

    model: nn.Module
    training: Training
    received: Tensors
    reference: Tensors
    settings: StudySettings
    task: CenterTask
    pathways: Mapping[str, Sequence[str]]
    make_model: Callable[[Tensors], nn.Module]
    steps: int

    def parameters(self) -> dict[str, nn.Parameter]:
        """The tensors that this round trains, by key."""
        return {key: parameter for key, parameter in parameters_by_key(self.model).items() if parameter.requires_grad}

    def common(self) -> dict[str, nn.Parameter]:
        """Those that are no center's own; a personal round has none, and so nothing to keep from drifting."""
        found = self.parameters().items()
        return {key: value for key, value in found if ROLE_GROUPS.get(role_of(key)) not in PERSONAL}


Build = Callable[[Round, float], LocalTerm | None]


def like(array: NDArray[np.float32], parameter: Tensor) -> Tensor:
    """An array as a tensor of its own, on the device and in the precision of `parameter`."""
    return torch.tensor(array, dtype=parameter.dtype, device=parameter.device)


def array_of(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor as a float32 array of its own, in C order."""
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32, order="C")


def sum_of(parts: Sequence[Tensor]) -> Tensor:
    """The sum of scalars; there must be at least one."""
    return torch.stack(tuple(parts)).sum()
