"""The recurrence of the selective scan in plain PyTorch operations, fast on a CPU, with its own backward pass.

    h_t = a_t h_{t-1} + x_t B_t,   a_t = exp(Delta_t A),   x_t = Delta_t u_t,   y_t = C_t h_t
    k_t = C_t dy_t + a_{t+1} k_{t+1}                       the gradient of h_t: a recurrence that runs backwards
    dx_t = B_t k_t,   dB_t = k_t x_t,   dC_t = h_t dy_t
    w_t = a_t k_t h_{t-1},   dDelta_t = w_t A + dx_t u_t,   dA = sum_t w_t Delta_t

Time is cut into blocks of `steps`. Memory holds one round of blocks, channel innermost, (steps, blocks, b, g, n, c), so
that a step is one contiguous multiply-add over a slab of blocks, rows and channels. The blocks of a round do not wait
for each other: a first sweep without history gives each block's end, the ends are joined by the blocks' whole decay
(which may underflow to 0, never to NaN), and a second sweep starts from the joined states. Only the states at the
borders of blocks are kept; the backward pass computes those inside a block again.

Shapes: b rows of a batch, l length, g groups of c channels that share B and C, n states, s steps and p blocks of a
round. What is time-major is (s, p, b, ...).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

SLAB = {"cpu": 24_576, "cuda": 1 << 20}  # values in a step; on a CPU a round then stays near the core's own cache
STEPS, LEAST_STEPS = 32, 8
FEWEST_BLOCKS = 4  # two sweeps over fewer blocks cost more than one sweep over all their steps


@dataclass(frozen=True)
class ScanRound:
    """`blocks` blocks of `steps` steps, the first of them number `first` and starting at step `start`."""

    start: int
    first: int
    blocks: int
    steps: int

    def of(self, x: Tensor) -> Tensor:
        """What this round covers of x (b, l, ...), time-major: (s, p, b, ...)."""
        covered = x.narrow(1, self.start, self.blocks * self.steps).unflatten(1, (self.blocks, self.steps))
        return covered.movedim((2, 1), (0, 1))

    def borders(self, x: Tensor) -> Tensor:
        """The states before this round's blocks, of x (b, all blocks, ...): (p, b, ...)."""
        return x.narrow(1, self.first, self.blocks).transpose(0, 1)


def block_steps(length: int, states: int) -> int:
    """Steps of a block; fewer where the d n states of one row are more than a slab."""
    return min(length, max(LEAST_STEPS, min(STEPS, STEPS * SLAB["cpu"] // states)))


def rounds_of(length: int, steps: int, most_blocks: int) -> list[ScanRound]:
    """Rounds of at most `most_blocks` blocks; the steps left over are a round of one shorter block."""
    whole, left = divmod(length, steps)
    most = most_blocks if most_blocks >= FEWEST_BLOCKS else 1
    each = -(-whole // max(1, -(-whole // most)))  # as even as they go
    found = [ScanRound(at * steps, at, min(each, whole - at), steps) for at in range(0, whole, max(1, each))]
    return [*found, ScanRound(whole * steps, whole, 1, left)] if left else found


@dataclass
class Workspace:
    """Memory that the rounds of a call use again and again, by name."""

    like: Tensor
    held: dict[str, Tensor] = field(default_factory=dict)
    views: dict[tuple[object, ...], tuple[Tensor, tuple[Tensor, ...]]] = field(default_factory=dict)

    def get(self, name: str, shape: Sequence[int]) -> Tensor:
        """Uninitialised memory."""
        return self.slabs(name, shape)[0]

    def slabs(self, name: str, shape: Sequence[int]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same, and its slices along the first axis."""
        key, size = (name, *shape), math.prod(shape)
        if key not in self.views:
            if name not in self.held or self.held[name].numel() < size:
                self.held[name] = self.like.new_empty(size)
            whole = self.held[name][:size].view(*shape)
            self.views[key] = whole, whole.unbind(0)
        return self.views[key]


@dataclass(frozen=True)
class Rows:
    """Some rows' inputs: u, delta (b, l, g, c), A (m, g, n, c) with m = 1 or b, B, C (b, l, g, n)."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor

    def of(self, chunk: slice) -> "Rows":
        """Fewer rows."""
        A = self.A if len(self.A) == 1 else self.A[chunk]
        return Rows(self.u[chunk], self.delta[chunk], A, self.B[chunk], self.C[chunk])

    def during(self, part: ScanRound) -> "Rows":
        """One round of them, time-major: all but A are (s, p, b, ...)."""
        return Rows(part.of(self.u), part.of(self.delta), self.A, part.of(self.B), part.of(self.C))


@dataclass(frozen=True)
class Gradients:
    """Where some rows' gradients go: u, delta (b, l, g, c), A (b, g, n, c) if it is wanted, B, C (b, l, g, n)."""

    u: Tensor
    delta: Tensor
    A: Tensor | None
    B: Tensor
    C: Tensor

    def of(self, chunk: slice) -> "Gradients":
        """Fewer rows."""
        A = None if self.A is None else self.A[chunk]
        return Gradients(self.u[chunk], self.delta[chunk], A, self.B[chunk], self.C[chunk])


def in_chunks(rows: int, states: int, device: str) -> Iterator[tuple[slice, int]]:
    """Slices of a batch, `states` states a row, that fill a slab each, and how many blocks of theirs do."""
    slab = SLAB.get(device, SLAB["cuda"])
    each = max(1, min(rows, slab // states))
    for start in range(0, rows, each):
        chunk = slice(start, min(rows, start + each))
        yield chunk, max(1, slab // (states * (chunk.stop - chunk.start)))


def scan_rows(rows: Rows, steps: int, most_blocks: int, y: Tensor, borders: Tensor, last: Tensor) -> None:
    """Fill y (b, l, g, c), borders (b, blocks, g, n, c) and the last state (b, g, n, c)."""
    work = Workspace(rows.u)
    last.zero_()
    for part in rounds_of(rows.u.shape[1], steps, most_blocks):
        now = rows.during(part)
        _, x, h = _states(now, last, None, work)
        part.borders(borders).copy_(h[0])
        last.copy_(h[-1, -1])
        part.of(y).copy_(_over_states(now.C, h[1:], work.get("y", x.shape)))


def scan_rows_backward(
    rows: Rows, steps: int, most_blocks: int, borders: Tensor, dy: Tensor, dlast: Tensor, into: Gradients
) -> None:
    """Add A's gradient and fill the others, of those of y (b, l, g, c) and of the last state (b, g, n, c)."""
    work, later = Workspace(rows.u), dlast
    for part in reversed(rounds_of(rows.u.shape[1], steps, most_blocks)):
        now, before = rows.during(part), part.borders(borders)
        a, x, h = _states(now, before[0], before, work)
        dy_now = work.get("dy", x.shape).copy_(part.of(dy))
        part.of(into.C).copy_(_over_channels(h[1:], dy_now))
        k, later = _state_gradients(now, a, dy_now, later, work)
        part.of(into.B).copy_(_over_channels(k, x))
        dx = _over_states(now.B, k, work.get("dx", x.shape))
        w = a.mul_(k).mul_(h[:-1])
        part.of(into.delta).copy_(torch.mul(w, rows.A, out=k).sum(-2).addcmul_(dx, now.u))
        part.of(into.u).copy_(dx.mul_(now.delta))
        if into.A is not None:
            into.A.add_(w.mul_(now.delta[..., None, :]).sum((0, 1)))


def _states(now: Rows, state: Tensor, before: Tensor | None, work: Workspace) -> tuple[Tensor, Tensor, Tensor]:
    """Of a round: a (s, p, b, g, n, c), x (s, p, b, g, c), and h (s + 1, p, ...) whose first slab is before the blocks.

    `state` (b, g, n, c) is before the round; `before` (p, b, g, n, c) is before each block where that is known.
    """
    x = torch.mul(now.delta, now.u, out=work.get("x", now.u.shape))
    s, p, b, g, c = x.shape
    a, decays = work.slabs("a", (s, p, b, g, now.A.shape[2], c))
    h, slabs = work.slabs("h", (s + 1, *a.shape[1:]))
    torch.mul(now.delta[..., None, :], now.A, out=a).exp_()
    torch.mul(x[..., None, :], now.B[..., None], out=h[1:])
    if before is None and p > 1:
        before = _join(state, _whole_decay(now), _last_of_sweep(decays, slabs[1:]))
    slabs[0].copy_(state if before is None else before)
    _sweep((decays[0], *decays), slabs)
    return a, x, h


def _state_gradients(now: Rows, a: Tensor, dy: Tensor, later: Tensor, work: Workspace) -> tuple[Tensor, Tensor]:
    """k (s, p, b, g, n, c), and what it adds to the gradient of the state before the round (b, g, n, c)."""
    a, decays = work.slabs("a", a.shape)
    k, slabs = work.slabs("k", a.shape)
    torch.mul(dy[..., None, :], now.C[..., None], out=k)
    # Backwards in time: the gradient at a step decays by the step after it.
    decays, slabs = (decays[0], *decays[:0:-1]), slabs[::-1]
    if a.shape[1] == 1:
        slabs[0].add_(later)
    else:
        ends = a[0] * _last_of_sweep(decays, slabs)
        slabs[0].add_(_join(later, _whole_decay(now).flip(0), ends.flip(0)).flip(0))
    _sweep(decays, slabs)
    return k, a[0, 0] * k[0, 0]


def _sweep(a: Sequence[Tensor], h: Sequence[Tensor]) -> None:
    """h[t] += a[t] h[t - 1] for t = 1, 2, ..., in place; a[0] is not used."""
    for step in range(1, len(h)):
        h[step].addcmul_(a[step], h[step - 1])


def _last_of_sweep(a: Sequence[Tensor], h: Sequence[Tensor]) -> Tensor:
    """What `_sweep` would leave in the last slab."""
    end = h[0].clone()
    for step in range(1, len(h)):
        torch.addcmul(h[step], a[step], end, out=end)
    return end


def _whole_decay(now: Rows) -> Tensor:
    """The decay over each block: (p, b, g, n, c)."""
    return (now.delta.sum(0)[..., None, :] * now.A).exp_()


def _join(state: Tensor, whole: Tensor, ends: Tensor) -> Tensor:
    """The states before p blocks, of the state before the first and the blocks' ends without history."""
    before = torch.empty_like(ends)
    before[0] = state
    slabs = before.unbind(0)
    for block, (decay, end) in enumerate(zip(whole[:-1], ends[:-1], strict=True)):
        torch.addcmul(end, decay, slabs[block], out=slabs[block + 1])
    return before


def _over_states(c: Tensor, h: Tensor, out: Tensor) -> Tensor:
    """Sum over n of c (s, p, b, g, n) times h (s, p, b, g, n, c): (s, p, b, g, c)."""
    if h.shape[-2] == 1:
        return torch.mul(c, h.squeeze(-2), out=out)
    torch.bmm(c.reshape(-1, 1, c.shape[-1]), h.flatten(0, 3), out=out.view(-1, 1, out.shape[-1]))
    return out


def _over_channels(h: Tensor, x: Tensor) -> Tensor:
    """Sum over c of h (s, p, b, g, n, c) times x (s, p, b, g, c): (s, p, b, g, n)."""
    # The vector stands on the left: the other way round, a batched product of this form is nine times slower.
    return torch.bmm(x.reshape(-1, 1, x.shape[-1]), h.flatten(0, 3).transpose(1, 2)).view(h.shape[:-1])
