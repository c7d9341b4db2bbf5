"""The selective scan (S6, arXiv 2312.00752, algorithm 2), with the signature of mamba-ssm's `selective_scan_fn`.

    Delta_t = softplus(delta_t + delta_bias)
    h_t     = exp(Delta_t A) h_{t-1} + Delta_t B_t u_t,   h_{-1} = 0
    y_t     = C_t h_t + D u_t;   out = y * SiLU(z)

On CUDA tensors with mamba-ssm installed this is the library's own function; elsewhere the recurrence runs as
`fusion_models.ssm.blocked_scan`, and what stands around it is plain operations.

Shapes: b batch, d channels, l length, n states, g groups of channels that share B and C (d a multiple of g). Any
strides are taken; memory with channels innermost, seen as (b, d, l), is what the blocked scan reads without a copy.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion_models.ssm.blocked_scan import block_steps
from fusion_models.ssm.scan_autograd import scan_in_blocks


@torch.compiler.disable  # type: ignore[untyped-decorator]
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

    Raises:
        ValueError: Half precision, complex or mixed numbers, or shapes that do not fit.
    """
    named = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "z": z, "delta_bias": delta_bias}
    given = {name: x for name, x in named.items() if x is not None}
    _check_numbers(given)
    _check_shapes(given)
    if u.device.type == "cuda" and (library := _library()[0]):
        return library(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    delta = F.softplus(delta) if delta_softplus else delta
    steps = block_steps(u.shape[2], A.numel())
    y, last = scan_in_blocks(_channel_last(u), _channel_last(delta), A, _group(B), _group(C), steps)
    out = y.transpose(1, 2)
    if D is not None:
        out = torch.addcmul(out, D[:, None], u)
    if z is not None:
        out = out * F.silu(z)
    return (out, last) if return_last_state else out


def scan_path(device: str) -> str:
    """Which implementation tensors on a device ("cpu", "cuda:0") use, and why."""
    if torch.device(device).type != "cuda":
        return f"Concilium's blocked scan (mamba-ssm has no kernels for {torch.device(device).type})"
    library, reason = _library()
    return f"mamba-ssm {_mamba_ssm_version()} kernels" if library else f"Concilium's blocked scan ({reason})"


@cache
def _library() -> tuple[Callable[..., Any] | None, str]:
    """mamba-ssm's function, or why there is none; imported on first use because that takes seconds."""
    if not _mamba_ssm_version():
        return None, "mamba-ssm is not installed"
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn as kernels
    except Exception as error:  # noqa: BLE001 compiled modules of another torch or CUDA fail in many ways
        return (
            None,
            f"mamba-ssm {_mamba_ssm_version()} is installed but cannot be imported: {type(error).__name__}: {error}",
        )
    return kernels, ""


def _mamba_ssm_version() -> str:
    """mamba-ssm's version, or nothing."""
    try:
        return version("mamba-ssm")
    except PackageNotFoundError:
        return ""


def _check_numbers(given: Mapping[str, Tensor]) -> None:
    """One precision for all, wide enough for a recurrence."""
    allowed = (torch.float32, torch.float64) if given["u"].device.type == "cpu" else (torch.float32,)
    for name, x in given.items():
        found = f"found {str(x.dtype).removeprefix('torch.')} in {name}"
        if x.dtype in (torch.float16, torch.bfloat16):
            msg = f"selective scan needs float32 (or float64 on the CPU), {found}; leave autocast around it"
            raise ValueError(msg)
        if x.dtype not in allowed or x.dtype != given["u"].dtype:
            msg = f"selective scan needs real float32 (or float64 on the CPU) and u's number type everywhere, {found}"
            raise ValueError(msg)


def _check_shapes(given: Mapping[str, Tensor]) -> None:
    """Every tensor against u and A."""
    u, A = given["u"], given["A"]
    if u.ndim != 3 or u.shape[2] < 1:
        _refuse("u", u, "(batch, channels, length) with length at least 1")
    b, d, length = u.shape
    if A.ndim != 2 or len(A) != d:
        _refuse("A", A, f"({d}, states)")
    n = A.shape[1]
    expected = {"delta": u.shape, "z": u.shape, "D": (d,), "delta_bias": (d,)}
    for name, shape in expected.items():
        if name in given and given[name].shape != shape:
            _refuse(name, given[name], str(tuple(shape)))
    for name in "BC":
        x = given[name]
        if x.ndim not in (3, 4) or (x.shape[0], *x.shape[-2:]) != (b, n, length):
            _refuse(name, x, f"({b}, {n}, {length}) or ({b}, groups, {n}, {length})")
    groups = [_groups(given[name]) for name in "BC"]
    if groups[0] != groups[1] or d % groups[0]:
        msg = (
            f"selective scan: B has {groups[0]} groups and C {groups[1]}; expected one number that divides {d} channels"
        )
        raise ValueError(msg)


def _groups(x: Tensor) -> int:
    return x.shape[1] if x.ndim == 4 else 1


def _refuse(name: str, x: Tensor, expected: str) -> None:
    msg = f"selective scan: {name} has shape {tuple(x.shape)}, expected {expected}"
    raise ValueError(msg)


def _channel_last(x: Tensor) -> Tensor:
    """(b, d, l) -> (b, l, d) with d innermost in memory."""
    x = x.transpose(1, 2)
    return x if x.stride(2) == 1 else x.contiguous()


def _group(x: Tensor) -> Tensor:
    """(b, n, l) or (b, g, n, l) -> (b, l, g, n)."""
    return (x if x.ndim == 4 else x[:, None]).movedim(3, 1)
