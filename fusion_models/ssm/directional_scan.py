"""Selective scans of one map in several orders, each with weights of its own, made in one call; channel last.

    u_k          = SiLU(conv_k(read_k(v)))          causal, depthwise, 4 wide: u_t sees v_(t-3) .. v_t
    delta, B, C  = S6_k's, of u_k, or of what is read from another map by the same order (cross-modal scan)
    y            = 1/K sum_k place_k(scan_k(u_k; delta, B, C))

A scan backwards is placed by one flip: position t of a map receives the state of position t.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.ssm.cross_scan import stack_sequences
from fusion_models.ssm.s6 import S6, in_full_precision
from fusion_models.ssm.scan_orders import ScanOrder, merge, read, read_all
from fusion_models.ssm.selective_scan import selective_scan_fn

TAPS = 4


class DirectionalScan(nn.Module):
    """The mean of `orders` scans over maps of `width` channels, `state` states a channel, steps of rank `rank`."""

    def __init__(self, width: int, *, orders: Sequence[ScanOrder], state: int, rank: int) -> None:
        super().__init__()
        self.orders = tuple(orders)
        channels = len(self.orders) * width
        self.conv = nn.Conv1d(channels, channels, TAPS, groups=channels)
        self.directions = nn.ModuleList([S6(width, state=state, rank=rank) for _ in self.orders])

    def forward(self, values: Tensor, selectors: Tensor | None = None) -> Tensor:
        """Scan a map.

        Args:
            values: (b, *size, d), what the states take in.
            selectors: (b, *size, d), what the states are driven by; the values themselves where there is none.

        Returns:
            (b, *size, d) in float32, or in the values' own float64.
        """
        s6 = cast("list[S6]", list(self.directions))
        with in_full_precision(values, s6[0].A_log) as v:
            u = self._convolve(read_all(v, self.orders))
            delta, b, c = self._selection(u, selectors if selectors is None else selectors.to(v.dtype))
            y = selective_scan_fn(
                _time_last(u).flatten(1, 2),
                _time_last(delta).flatten(1, 2),
                torch.cat([each.A for each in s6]),
                _time_last(b),
                _time_last(c),
                torch.cat([each.D for each in s6]),
                delta_softplus=True,
            )
            sequences = y.unflatten(1, (len(s6), -1)).transpose(2, 3)
            return merge(sequences, v.shape[1:-1], self.orders) / len(s6)

    def _convolve(self, sequences: Tensor) -> Tensor:
        """SiLU(conv_k) of sequences (b, k, l, d).

        Four shifted products on memory as the scan wants it; torch's convolution takes it turned round, which costs
        four times as much on a CPU.
        """
        tokens = F.pad(sequences.transpose(1, 2).flatten(2), (0, 0, TAPS - 1, 0))
        length = sequences.shape[2]
        weight = self.conv.weight[:, 0]
        out = torch.addcmul(cast("Tensor", self.conv.bias), tokens[:, :length], weight[:, 0])
        for tap in range(1, TAPS):
            # Not in place: torch.func maps that one by one, and says so.
            out = torch.addcmul(out, tokens[:, tap : tap + length], weight[:, tap])
        return F.silu(out).unflatten(2, (len(self.orders), -1)).transpose(1, 2)

    def _selection(self, u: Tensor, selectors: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Delta (b, k, l, d) before the softplus, B and C (b, k, l, n); a map's projections are made before reading."""
        found = []
        for k, (order, s6) in enumerate(zip(self.orders, cast("list[S6]", list(self.directions)), strict=True)):
            projected = s6.x_proj(u[:, k]) if selectors is None else read(s6.x_proj(selectors), order)
            found.append(s6.parameters_from(projected))
        delta, b, c = (stack_sequences(each) for each in zip(*found, strict=True))
        return delta, b, c


def _time_last(sequences: Tensor) -> Tensor:
    """(b, k, l, d) -> (b, k, d, l), a view."""
    return sequences.transpose(2, 3)
