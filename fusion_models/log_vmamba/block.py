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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from monai.networks.layers import DropPath
from torch import Tensor, nn

from fusion_models.log_vmamba.gtx import GTX
from fusion_models.log_vmamba.ltx import LTX, GroupedConv
from fusion_models.log_vmamba.placement import global_positions, local_positions
from fusion_models.ssm.s6 import S6

STEP_RATIO = 16


class LocalExtractor(nn.Module):
    """The tokens of a map in raster order, and after the scan their map again; it has no use for global options."""

    def __init__(self, local: GroupedConv, _width: int, size: Sequence[int], **_global_options: object) -> None:
        super().__init__()
        self.size, self.local = tuple(size), local

    def forward(self, a: Tensor) -> Tensor:
        """Tokens (b, L, W) of a map (b, *size, D)."""
        return self.local(a).flatten(1, -2)

    def on_map(self, y: Tensor) -> Tensor:
        """(b, L, W) -> (b, *size, W)."""
        return y.unflatten(1, self.size)


class LogExtractor(LocalExtractor):
    """The tokens of a map with global ones of the same width between them.

    Args:
        local: makes the map of local tokens. width: W. size: of the map.
        stride, squeeze: K and q of the global tokens. placement: where they stand.
    """

    def __init__(
        self, local: GroupedConv, width: int, size: Sequence[int], *, stride: int, squeeze: int, placement: str
    ) -> None:
        super().__init__(local, width, size)
        self.gtx = GTX(width, size=size, stride=stride, squeeze=squeeze)
        total = math.prod(size) + self.gtx.tokens
        global_at = global_positions(placement, math.prod(size), self.gtx.tokens)
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
        narrowing: S -> inner channels in one that the block keeps.
        compression: S -> inner channels in one of the local tokens'.
        local: makes the map of local tokens. extractor: makes the sequence.
        fold: (W, inner channels) -> what leads back to these, nothing where W is their number already.
    """

    narrowing: Callable[[int], int]
    compression: Callable[[int], int]
    local: type[GroupedConv]
    extractor: type[LocalExtractor]
    fold: Callable[[int, int], nn.Linear | None]


def one(_compression: int) -> int:
    """Each channel stays."""
    return 1


def given(compression: int) -> int:
    """S channels become one."""
    return compression


def linear(width: int, inner: int) -> nn.Linear:
    """W -> D, no bias."""
    return nn.Linear(width, inner, bias=False)


def nothing(_width: int, _inner: int) -> None:
    """Tokens are as wide as the block."""


VARIANTS: Mapping[str, Variant] = {
    "vss": Variant(one, one, GroupedConv, LocalExtractor, nothing),
    "l": Variant(one, given, LTX, LocalExtractor, linear),
    "g": Variant(one, one, GroupedConv, LogExtractor, nothing),
    "log": Variant(one, given, LTX, LogExtractor, linear),
    "l-narrow": Variant(given, given, LTX, LocalExtractor, linear),
}


class LogBlock(nn.Module):
    """A block over maps (b, *size, width) of one size.

    Args:
        width: C. size: of the map, two or three axes. variant: a row of `VARIANTS`.
        expansion: E. state: N, states a channel. compression: S, channels of `in_proj` in one of the local tokens'.
        stride, squeeze: K and q of the global tokens. placement: where these stand, a row of `PLACEMENTS`.
        drop_path: chance that a sample skips the block in training. norm_eps: of the first norm.

    Raises:
        ValueError: an unknown variant or placement, or sizes that do not fit each other.
    """

    def __init__(
        self,
        width: int,
        *,
        size: tuple[int, ...],
        variant: str,
        expansion: int,
        state: int = 16,
        compression: int = 8,
        stride: int = 2,
        squeeze: int = 1,
        placement: str = "interleaved",
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        check_block(width, size=size, variant=variant, expansion=expansion, compression=compression)
        parts, axes = VARIANTS[variant], len(size)
        mixed, neighbours = parts.compression(compression), parts.local.neighbours(axes)
        inner = expansion * width // parts.narrowing(compression)
        convolved = expansion * width // mixed
        tokens = convolved * neighbours
        self.shape = (*size, width)
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        local = parts.local(inner, convolved, axes=axes)
        self.extractor = parts.extractor(local, tokens, size, stride=stride, squeeze=squeeze, placement=placement)
        self.scan = S6(tokens, state=state, rank=math.ceil(width // mixed * neighbours / STEP_RATIO))
        self.fold = parts.fold(tokens, inner)
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


def check_block(width: int, *, size: Sequence[int], variant: str, expansion: int, compression: int) -> None:
    """Refuse a variant that does not exist and sizes that do not fit each other."""
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, found '{variant}'")
    if len(size) not in (2, 3) or min(size) < 1:
        raise ValueError(f"size must be two or three positive map sizes, found {tuple(size)}")
    mixed, inner = VARIANTS[variant].compression(compression), expansion * width
    if mixed < 1 or width < mixed or inner % mixed:
        raise ValueError(
            f"compression must divide the {inner} inner channels and be at most the width {width}, found {mixed}"
        )
