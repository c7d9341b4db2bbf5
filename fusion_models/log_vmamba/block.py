"""The LoG-VMamba block (arXiv 2408.14415, figure of the four variants): one forward raster scan, no MLP; channel last.

    [a, z] = in_proj(LayerNorm(x))               C -> 2D, D = E C, no bias
    v      = extractor(a)                        L tokens in raster order, last axis fastest; with global ones L + G
    y      = the local tokens of S6(v), on the map again
    y      = fold(y)                             W -> D, no bias; where tokens hold neighbourhoods
    block  = x + DropPath(out_proj(LayerNorm(y) * SiLU(z)))     D -> C, no bias

    variant    tokens of the map                    global tokens   token width W        step rank
    vss        depthwise 3^n + SiLU                 no              D                    ceil(C / 16)
    l          LTX: S channels to one, 3^n unfold   no              (D / S) 3^n          ceil((C // S) 3^n / 16)
    g          as vss                               yes             as vss               as vss
    log        as l                                 yes             as l                 as l
    l-narrow   as l, after in_proj: C -> 2D / S     no              as l                 as l

l-narrow is what the official 2D code runs for the local tokens alone: D / S also in the gate, norm and out_proj. Global
tokens lose their outputs: they act through the state only. Not done: the unfold's scaled gradients and the second
direction, both off in the official code.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from monai.networks.layers import DropPath
from torch import Tensor, nn

from fusion_models.log_vmamba.gtx import GTX
from fusion_models.log_vmamba.ltx import LTX, GroupedConv
from fusion_models.log_vmamba.placement import global_positions, local_positions
from fusion_models.ssm.mixers import SEQUENCE_MIXERS, check_mixer

STEP_RATIO = 16


@dataclass(frozen=True)
class GlobalTokens:
    """The global tokens of a block.

    Attributes:
        stride: K. squeeze: q. placement: where they stand among the local ones, a row of `PLACEMENTS`.
    """

    stride: int
    squeeze: int
    placement: str


class LocalExtractor(nn.Module):
    """The tokens of a map in raster order, and after the scan their map again.

    Args:
        local: makes the map of local tokens. size: of the map.
    """

    def __init__(self, local: GroupedConv, size: Sequence[int]) -> None:
        super().__init__()
        self.size, self.local = tuple(size), local

    def forward(self, a: Tensor) -> Tensor:
        """Tokens (b, L, W) of a map (b, *size, D)."""
        return self.local(a).flatten(1, -2)

    def on_map(self, y: Tensor) -> Tensor:
        """(b, L, W) -> (b, *size, W)."""
        return y.unflatten(1, self.size)


class LogExtractor(LocalExtractor):
    """The tokens of a map with global ones of the same width W between them."""

    def __init__(self, local: GroupedConv, size: Sequence[int], *, width: int, global_tokens: GlobalTokens) -> None:
        super().__init__(local, size)
        self.gtx = GTX(width, size=size, stride=global_tokens.stride, squeeze=global_tokens.squeeze)
        total = math.prod(size) + self.gtx.tokens
        global_at = global_positions(global_tokens.placement, math.prod(size), self.gtx.tokens)
        local_at = local_positions(global_at, total)
        self.local_at: Tensor
        self.order: Tensor
        self.register_buffer("local_at", torch.tensor(local_at), persistent=False)
        self.register_buffer("order", torch.tensor(inverse([*global_at, *local_at])), persistent=False)

    def forward(self, a: Tensor) -> Tensor:
        """Tokens (b, L + G, W) of a map (b, *size, D)."""
        m = self.local(a)
        return torch.cat([self.gtx(m), m.flatten(1, -2)], dim=1).index_select(1, self.order)

    def on_map(self, y: Tensor) -> Tensor:
        """(b, L + G, W) -> (b, *size, W), the outputs of global tokens left out."""
        return super().on_map(y.index_select(1, self.local_at))


def inverse(permutation: Sequence[int]) -> list[int]:
    """Of the target of each item, the item at each target."""
    return sorted(range(len(permutation)), key=permutation.__getitem__)


@dataclass(frozen=True)
class Variant:
    """What a block is made of.

    Attributes:
        local: makes the map of local tokens; LTX's are folded back after the scan.
        has_globals: global tokens stand between them. narrow: the inner channels are compressed too, D / S.
    """

    local: type[GroupedConv]
    has_globals: bool = False
    narrow: bool = False


VARIANTS: Mapping[str, Variant] = {
    "vss": Variant(GroupedConv),
    "l": Variant(LTX),
    "g": Variant(GroupedConv, has_globals=True),
    "log": Variant(LTX, has_globals=True),
    "l-narrow": Variant(LTX, narrow=True),
}


class LogBlock(nn.Module):
    """A block over maps (b, *size, width) of one size.

    Args:
        width: C. size: of the map, two or three axes. variant: a row of `VARIANTS`.
        expansion: E. state: N, states a channel. compression: S, channels of `in_proj` in one of the local tokens'.
        global_tokens: for the variants that have them, None for the others.
        drop_path: chance that a sample skips the block in training. norm_eps: of the first norm.
        mixer: name in `SEQUENCE_MIXERS`, what mixes the tokens; the paper's is the scan.

    Raises:
        ValueError: an unknown variant, mixer or placement, global tokens that the variant has not or lacks, or sizes
            that do not fit each other.
    """

    def __init__(
        self,
        width: int,
        *,
        size: tuple[int, ...],
        variant: str,
        expansion: int,
        state: int,
        compression: int,
        global_tokens: GlobalTokens | None,
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
        mixer: str = "scan",
    ) -> None:
        super().__init__()
        check_mixer(mixer)
        check_variant(variant, VARIANTS)
        parts, axes, whole = VARIANTS[variant], len(size), expansion * width
        mixed = compression if parts.local is LTX else 1
        check_block(width, size=size, inner=whole, mixed=mixed)
        neighbours = parts.local.neighbours(axes)
        inner, convolved = whole // mixed if parts.narrow else whole, whole // mixed
        tokens = convolved * neighbours
        self.shape = (*size, width)
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.extractor = extractor(variant, parts.local(inner, convolved, axes=axes), size, tokens, global_tokens)
        rank = math.ceil(width // mixed * neighbours / STEP_RATIO)
        self.scan = SEQUENCE_MIXERS[mixer](tokens, state=state, rank=rank)
        self.fold = nn.Linear(tokens, inner, bias=False) if parts.local is LTX else None
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (b, *size, width) -> (b, *size, width).

        Raises:
            ValueError: maps of another size.
        """
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(
                f"a LoG block built for another map size: expected (b, {', '.join(map(str, self.shape))}), found "
                f"{tuple(x.shape)}; predict in windows of the size the network was built for, or build it for this one"
            )
        return x + self.drop_path(self.mix(self.norm(x)))

    def mix(self, u: Tensor) -> Tensor:
        """The block without its residual: (b, *size, width) -> (b, *size, width)."""
        a, z = self.in_proj(u).chunk(2, dim=-1)
        y = self.extractor.on_map(self.scan(self.extractor(a)))
        if self.fold is not None:
            y = self.fold(y)
        return self.out_proj(self.out_norm(y) * F.silu(z))


def extractor(
    variant: str, local: GroupedConv, size: Sequence[int], width: int, global_tokens: GlobalTokens | None
) -> LocalExtractor:
    """What makes the sequence of a variant's tokens, each `width` wide.

    Raises:
        ValueError: global tokens for a variant without them, or none for one with them.
    """
    if VARIANTS[variant].has_globals == (global_tokens is None):
        expected = "a GlobalTokens" if VARIANTS[variant].has_globals else "None"
        raise ValueError(f"global_tokens of variant '{variant}' must be {expected}, found {global_tokens}")
    if global_tokens is None:
        return LocalExtractor(local, size)
    return LogExtractor(local, size, width=width, global_tokens=global_tokens)


def check_variant(variant: str, known: Collection[str]) -> None:
    """Refuse a variant that does not exist, with those that do."""
    if variant not in known:
        raise ValueError(f"variant must be one of {', '.join(known)}, found '{variant}'")


def check_block(width: int, *, size: Sequence[int], inner: int, mixed: int) -> None:
    """Refuse sizes that do not fit each other; `mixed` of `inner` channels become one of the local tokens'."""
    if len(size) not in (2, 3) or min(size) < 1:
        raise ValueError(f"size must be two or three positive map sizes, found {tuple(size)}")
    if mixed < 1 or width < mixed or inner % mixed:
        raise ValueError(
            f"compression must divide the {inner} inner channels and be at most the width {width}, found {mixed}"
        )
