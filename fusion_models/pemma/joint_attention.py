"""A transformer block over streams of tokens that attend to themselves and, through a gate, to each other.

With the block's own projections q, K, V of each stream m (b, h, n, e), head h and its gate g_h:

    a_m^h   = (1 - g_h) Att(q_m, K_m, V_m) + g_h Att(q_m, [K_1; K_2; ..], [V_1; V_2; ..])

g = 0 is the block over each stream alone, bit for bit: every step of it is MONAI's, on the same rows. g = 1 is the
block over the joined sequence, as PEMMA publishes it (arXiv 2404.13704). One stream is the block itself.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from monai.networks.blocks.selfattention import SABlock
from monai.networks.blocks.transformerblock import TransformerBlock
from torch import Tensor, nn

Said = Callable[[], AbstractContextManager[None]]


def advance(
    block: TransformerBlock, streams: Sequence[Tensor], gate: nn.Module | None, rows: Sequence[Said] = ()
) -> list[Tensor]:
    """Each stream (b, n_m, d) behind the block.

    Args:
        gate: a `Gate` of the block's heads, None where there is one stream.
        rows: for each stream, says around its calls what its rows are of (`fusion_models.adapters.routing`).
    """
    if gate is None or len(streams) == 1:
        return each_within(rows, block, streams)
    attended = attend([block.norm1(stream) for stream in streams], block.attn, gate, rows)
    streams = [stream + own for stream, own in zip(streams, attended, strict=True)]
    answers = each_within(rows, block.mlp, [block.norm2(stream) for stream in streams])
    return [stream + answer for stream, answer in zip(streams, answers, strict=True)]


def attend(streams: Sequence[Tensor], attention: SABlock, gate: nn.Module, rows: Sequence[Said] = ()) -> list[Tensor]:
    """a_m of each stream (b, n_m, d), heads joined and projected."""
    projected = [attention.input_rearrange(each).unbind() for each in each_within(rows, attention.qkv, streams)]
    keys, values = (torch.cat([each[part] for each in projected], dim=2) for part in (1, 2))
    heads = [gate(_attend(attention, q, k, v), _attend(attention, q, keys, values)) for q, k, v in projected]
    joined = each_within(rows, attention.out_proj, [attention.out_rearrange(each) for each in heads])
    return [attention.drop_output(each) for each in joined]


def each_within(rows: Sequence[Said], layer: nn.Module, streams: Sequence[Tensor]) -> list[Tensor]:
    """The layer of each stream, called while what its rows are of is said; nothing is where `rows` is empty."""
    found: list[Tensor] = []
    for said, stream in zip(rows or [nullcontext] * len(streams), streams, strict=True):
        with said():
            found.append(layer(stream))
    return found


def _attend(attention: SABlock, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Att(q, k, v) (b, h, n, e), in the very steps of MONAI's block."""
    weights = torch.einsum("blxd,blyd->blxy", q, k) * attention.scale
    weights = attention.drop_weights(weights.softmax(dim=-1))
    return torch.einsum("bhxy,bhyd->bhxd", weights, v)
