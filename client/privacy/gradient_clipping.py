"""The mean gradient of a step with Gaussian noise: DP-SGD (Abadi et al., arXiv 1607.00133, algorithm 1), by patients.

    h_p   = g_p min(1, C_G / |g_p|_G)        for each group G of tensors; one group of all where clipping is flat
    S     = sum_p h_p                        over the patients of the step; 0 where there are none
    grad  = (S + sigma C z) / b              z ~ N(0, I), C^2 = sum_G C_G^2, b patients expected

g_p is the gradient of a patient's own loss. One patient moves S by at most C. The clipped sum is what is kept, never a
gradient a patient, so that memory does not grow with the sample. Dividing by the expected number, not by the sampled
one, keeps the number secret. A gradient that is not finite counts as 0: which patients have none is nobody's to see.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from client.privacy.secret_randomness import Randomness
from protocol.messages.tensors import kind_of

SMALLEST_NORM = 1e-12


@dataclass(frozen=True)
class ClippedGroup:
    """Tensors that are clipped together, to `norm`."""

    parameters: tuple[nn.Parameter, ...]
    norm: float


class ClippedSum:
    """S of one step.

    Args:
        groups: what trains in the step.
    """

    def __init__(self, groups: Sequence[ClippedGroup]) -> None:
        self._groups = tuple(groups)
        self._parameters = [parameter for group in groups for parameter in group.parameters]
        self._sums = [torch.zeros_like(parameter, requires_grad=False) for parameter in self._parameters]

    def add(self, loss: Tensor) -> bool:
        """Take in the gradient of a patient's loss; False where it is not finite and counts as 0."""
        found: Sequence[Tensor | None] = [None] * len(self._parameters)
        if loss.requires_grad:
            found = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        each = [None if gradient is None else gradient[None] for gradient in found]
        return bool(self.add_each(loss.detach()[None], each)[0])

    @torch.no_grad()
    def add_each(self, losses: Tensor, gradients: Sequence[Tensor | None]) -> Tensor:
        """Take in the gradients of several patients' losses.

        Args:
            losses: (p,).
            gradients: (p, *shape) for each of `parameters`, None where no loss reaches one.

        Returns:
            For each patient (p,) whether loss and gradient were finite; where not, it counts as 0.
        """
        pairs = iter(zip(self._sums, gradients, strict=True))
        finite, parts = torch.isfinite(losses), []
        for group in self._groups:
            of_group = [next(pairs) for _ in group.parameters]
            reached = [(total, gradient) for total, gradient in of_group if gradient is not None]
            if reached:
                lengths = _lengths([gradient for _, gradient in reached])
                finite = finite & torch.isfinite(lengths)
                parts.append((reached, lengths, group.norm))
        for reached, lengths, norm in parts:
            shares = (norm / lengths.clamp_min(SMALLEST_NORM)).clamp_max(1.0)[finite]
            for total, gradient in reached:
                total.add_(torch.tensordot(shares.to(gradient.dtype), gradient[finite], dims=1))
        return finite

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """What trains in the step, in the order of its gradients."""
        return tuple(self._parameters)

    @torch.no_grad()
    def release(self, noise_multiplier: float, expected: float, randomness: Randomness) -> None:
        """Give the parameters their noisy mean gradient.

        Args:
            noise_multiplier: sigma.
            expected: b.
            randomness: where the noise comes from.
        """
        deviation = noise_multiplier * self.sensitivity
        for parameter, total in zip(self._parameters, self._sums, strict=True):
            noise = torch.from_numpy(randomness.standard_normal(tuple(total.shape)))
            noisy = total.double() + deviation * noise.to(total.device)
            parameter.grad = torch.empty_like(parameter).copy_(noisy / expected)

    @property
    def sensitivity(self) -> float:
        """C."""
        return sum(group.norm**2 for group in self._groups) ** 0.5


def _lengths(gradients: Sequence[Tensor]) -> Tensor:
    """Each patient's norm (p,) over all tensors of a group, (p, *shape) each."""
    of_each = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(of_each), dim=0)


def group_parameters(
    parameters: Mapping[str, nn.Parameter], group_of_key: Mapping[str, str], norms: float | Mapping[str, float]
) -> list[ClippedGroup]:
    """What is clipped together: everything to one norm, or each tensor group to its own.

    Args:
        parameters: what trains in the step, by key.
        group_of_key: key -> tensor group.
        norms: C, or C_G by group, of every group that is among them; banks of adapters are clipped as one group.
    """
    if not isinstance(norms, Mapping):
        return [ClippedGroup(tuple(parameters.values()), norms)] if parameters else []
    members: dict[str, list[nn.Parameter]] = {}
    for key, parameter in parameters.items():
        members.setdefault(kind_of(group_of_key[key]), []).append(parameter)
    return [ClippedGroup(tuple(found), norms[name]) for name, found in sorted(members.items())]
