"""Patients whose gradients one can write down: the loss of each is the product of a vector with what trains."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from client.privacy.gradient_clipping import ClippedGroup, ClippedSum


def weights(*shapes: int) -> list[nn.Parameter]:
    """Tensors that train, in float64."""
    return [nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in shapes]


def loss_of(vector: Sequence[float], parameters: Sequence[nn.Parameter]) -> Tensor:
    """A loss whose gradient is `vector`, split over the parameters."""
    flat = torch.cat([parameter.flatten() for parameter in parameters])
    return (torch.tensor(vector, dtype=torch.float64) * flat).sum()


def summed(vectors: Sequence[Sequence[float]], norm: float, *shapes: int) -> tuple[ClippedSum, list[nn.Parameter]]:
    """The clipped sum of patients with these gradients, and the tensors."""
    parameters = weights(*(shapes or (len(vectors[0]),)))
    total = ClippedSum([ClippedGroup(tuple(parameters), norm)])
    for vector in vectors:
        total.add(loss_of(vector, parameters))
    return total, parameters
