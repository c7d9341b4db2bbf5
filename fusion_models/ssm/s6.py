"""The input-dependent parameters of one selective scan, each projection a module that an adapter can wrap.

    [r_t, B_t, C_t] = x_proj v_t            d -> R + 2N, no bias
    delta_t         = dt_proj r_t           R -> d, with bias (before the softplus)
    A               = -exp(A_log)           (d, N), A_log = ln(1..N) at the start; D = 1
    y               = scan(v, delta, A, B, C, D)

dt_proj ~ U(-R^-1/2, R^-1/2), its bias softplus^-1 of a step log-uniform in [1e-3, 1e-1], at least 1e-4
(arXiv 2312.00752, section 3.6 and its code). Scans and what feeds them run in float32.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fusion_models.ssm.selective_scan import selective_scan_fn

STEP_RANGE, LEAST_STEP = (1e-3, 1e-1), 1e-4


class S6(nn.Module):
    """One scan direction over tokens of width `width`, with `state` states a channel and `rank` for the step size."""

    def __init__(self, width: int, *, state: int, rank: int) -> None:
        super().__init__()
        self.state, self.rank = state, rank
        self.x_proj = nn.Linear(width, rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(rank, width)
        self.A_log = nn.Parameter(torch.arange(1, state + 1, dtype=torch.float32).log().repeat(width, 1))
        self.D = nn.Parameter(torch.ones(width))
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        self.dt_proj.bias.data = _inverse_softplus(_log_uniform(width).clamp(min=LEAST_STEP))

    def parameters_from(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of x_proj v (b, l, R + 2N): delta (b, l, d) before the softplus, B (b, l, N), C (b, l, N)."""
        step, b, c = projected.split([self.rank, self.state, self.state], dim=-1)
        return self.dt_proj(step), b, c

    @property
    def A(self) -> Tensor:
        """(d, N), negative."""
        return -self.A_log.exp()

    def forward(self, v: Tensor) -> Tensor:
        """Scan tokens (b, l, d) in order: (b, l, d)."""
        with in_full_precision(v, self.A_log) as tokens:
            delta, b, c = self.parameters_from(self.x_proj(tokens))
            y = selective_scan_fn(
                tokens.transpose(1, 2),
                delta.transpose(1, 2),
                self.A,
                b.transpose(1, 2),
                c.transpose(1, 2),
                self.D,
                delta_softplus=True,
            )
        return y.transpose(1, 2)


@contextmanager
def in_full_precision(x: Tensor, weight: Tensor) -> Iterator[Tensor]:
    """x in float32, or in its own float64, with autocast off where x is; a device that has none (meta) needs none.

    Raises:
        ValueError: the scan's own weights are of half precision.
    """
    if weight.dtype in {torch.float16, torch.bfloat16}:
        raise ValueError(
            f"the weights around a scan must be float32 (or float64), found {weight.dtype}; keep the model in float32 "
            "and save time by autocast, which leaves scans alone"
        )
    device = x.device.type
    with torch.autocast(device if torch.amp.is_autocast_available(device) else "cpu", enabled=False):
        yield x if x.dtype == torch.float64 else x.float()


def _log_uniform(width: int) -> Tensor:
    low, high = (math.log(bound) for bound in STEP_RANGE)
    return torch.exp(torch.rand(width) * (high - low) + low)


def _inverse_softplus(x: Tensor) -> Tensor:
    return x + torch.log(-torch.expm1(-x))
