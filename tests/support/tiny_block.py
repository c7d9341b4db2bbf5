"""LoG blocks of a size that tests can pay for, and maps for them."""

from typing import Any

import torch
from torch import Tensor

from fusion_models.log_vmamba.block import VARIANTS, GlobalTokens, LogBlock

SIZES = {2: (4, 6), 3: (2, 4, 2)}


TINY = {"expansion": 2, "state": 2, "compression": 4}


TOKENS = {"stride": 2, "squeeze": 1, "placement": "interleaved"}


def tiny(variant: str = "log", size: tuple[int, ...] = (4, 4), width: int = 4, **options: Any) -> Any:
    """`options` are those of the block, and of its global tokens where the variant has them."""
    tokens: Any = GlobalTokens(**{name: options.pop(name, value) for name, value in TOKENS.items()})
    if variant in VARIANTS and not VARIANTS[variant].has_globals:
        tokens = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LogBlock(width, size=size, variant=variant, **{**TINY, "global_tokens": tokens, **options}).eval()


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
