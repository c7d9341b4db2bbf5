"""The selective scan (S6, arXiv 2312.00752, algorithm 2), with the signature of mamba-ssm's `selective_scan_fn`.

    Delta_t = softplus(delta_t + delta_bias)
    h_t     = exp(Delta_t A) h_{t-1} + Delta_t B_t u_t,   h_{-1} = 0
    y_t     = C_t h_t + D u_t;   out = y * SiLU(z)

Shapes: b batch, d channels, l length, n states, g groups of channels that share B and C (d a multiple of g).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan_fn(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,  # noqa: FBT001, FBT002 the library's own signature
    return_last_state: bool = False,  # noqa: FBT001, FBT002 the library's own signature
) -> Tensor | tuple[Tensor, Tensor]:
    """Scan along the last axis.

    Args:
        u, delta, z: (b, d, l). A: (d, n), negative. B, C: (b, n, l) or (b, g, n, l). D, delta_bias: (d,).

    Returns:
        (b, d, l), and the last state (b, d, n) if asked for.
    """
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    if B.ndim == 3:
        B, C = B[:, None], C[:, None]
    repeats = u.shape[1] // B.shape[1]
    B, C = (x.repeat_interleave(repeats, dim=1) for x in (B, C))
    state = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    outputs = []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        state = torch.exp(step * A) * state + step * B[..., t] * u[:, :, t, None]
        outputs.append((state * C[..., t]).sum(-1))
    y = torch.stack(outputs, dim=-1)
    if D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * F.silu(z)
    return (y, state) if return_last_state else y
