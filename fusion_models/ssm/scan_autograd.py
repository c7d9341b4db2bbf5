"""The blocked scan as a differentiable operation, for torch.func too (per-sample gradients: vmap over grad).

A mapped axis folds into the batch, whose rows never meet: A's gradient leaves the kernel by row and is summed outside.
"""

from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd import Function

from fusion_models.ssm.blocked_scan import Gradients, Rows, in_chunks, scan_rows, scan_rows_backward


class Mapped(NamedTuple):
    """What torch tells a batching rule."""

    batch_size: int
    randomness: str


def scan_in_blocks(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Scan in blocks.

    Args:
        u, delta: (b, l, d), Delta positive. A: (d, n). B, C: (b, l, g, n).
        steps: of a block; between two blocks a state is kept.

    Returns:
        y (b, l, d), and the last state (b, d, n).
    """
    y, last, _ = _Scan.apply(u, delta, A[None], B, C, steps)
    return y, last


class _Scan(Function):
    """y, the last state, and the states before each block (b, blocks, g, n, c), which only the backward pass reads."""

    @staticmethod
    def forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, steps: int) -> tuple[Tensor, ...]:
        (b, length, d), (g, n) = u.shape, B.shape[2:]
        rows, y = _rows(u, delta, A, B, C), u.new_empty(b, length, g, d // g)
        borders, last = u.new_empty(b, -(-length // steps), g, n, d // g), u.new_empty(b, g, n, d // g)
        for chunk, blocks in in_chunks(b, d * n, u.device.type):
            scan_rows(rows.of(chunk), steps, blocks, y[chunk], borders[chunk], last[chunk])
        return y.flatten(2), last.transpose(2, 3).flatten(1, 2), borders

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.steps = inputs
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(*tensors, output[2])

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dlast: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        with_a = ctx.needs_input_grad[2]
        du, ddelta, da, db, dc = _ScanBackward.apply(*ctx.saved_tensors, dy, dlast, ctx.steps, with_a)
        if ctx.saved_tensors[2].shape[0] == 1:
            da = da.sum(0, keepdim=True)
        return du, ddelta, da if with_a else None, db, dc, None

    @staticmethod
    def vmap(info: Mapped, in_dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return _unfold(_Scan.apply(*_fold(info, in_dims, args)), info)


class _ScanBackward(Function):
    """Gradients of u, delta (b, l, d), of A by row (b, d, n) or zeros if it is not wanted, of B, C (b, l, g, n)."""

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, ...]:
        u, delta, A, B, C, borders, dy, dlast, steps, with_a = args
        b, (d, n), g = len(u), A.shape[1:], B.shape[2]
        rows, dy, dlast = _rows(u, delta, A, B, C), dy.unflatten(2, (g, -1)), _group(dlast, g)
        of_a = u.new_zeros(b, g, n, d // g) if with_a else None
        into = Gradients(u.new_empty(dy.shape), u.new_empty(dy.shape), of_a, u.new_empty(B.shape), u.new_empty(B.shape))
        for chunk, blocks in in_chunks(b, d * n, u.device.type):
            scan_rows_backward(rows.of(chunk), steps, blocks, borders[chunk], dy[chunk], dlast[chunk], into.of(chunk))
        da = u.new_zeros(b, 1, 1).expand(b, d, n) if of_a is None else of_a.transpose(2, 3).flatten(1, 2)
        return into.u.flatten(2), into.delta.flatten(2), da, into.B, into.C

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Nothing to keep: there is no further derivative."""

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, ...]:
        msg = "the selective scan has first derivatives only; found a request for second derivatives"
        raise NotImplementedError(msg)

    @staticmethod
    def vmap(info: Mapped, in_dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return _unfold(_ScanBackward.apply(*_fold(info, in_dims, args)), info)


def _rows(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Rows:
    g = B.shape[2]
    return Rows(u.unflatten(2, (g, -1)), delta.unflatten(2, (g, -1)), _group(A, g).contiguous(), B, C)


def _group(x: Tensor, g: int) -> Tensor:
    """(b, d, n) -> (b, g, n, c)."""
    return x.unflatten(1, (g, -1)).transpose(2, 3)


def _fold(info: Mapped, in_dims: tuple[int | None, ...], args: tuple[Any, ...]) -> list[Any]:
    """Samples as further rows of the batch; an A that rows and samples share stays one."""
    samples = [
        x if not isinstance(x, Tensor) else x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip(args, in_dims, strict=True)
    ]
    if in_dims[2] is None and len(args[2]) == 1:
        samples[2] = args[2][None]
    else:
        samples[2] = samples[2].expand(-1, samples[0].shape[1], -1, -1)
    return [x.flatten(0, 1) if isinstance(x, Tensor) else x for x in samples]


def _unfold(outputs: tuple[Tensor, ...], info: Mapped) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Rows of the batch as samples again, and where their axis is."""
    return tuple(x.unflatten(0, (info.batch_size, -1)) for x in outputs), (0,) * len(outputs)
