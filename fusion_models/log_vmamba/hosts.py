"""What the 2D and the 3D host of LoG-VMamba share: how convolutions start, and one entry a stage in every list."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from fusion_models.log_vmamba.block import VARIANTS, GlobalTokens, check_variant

LEAK = 0.01
"""Slope of the leaky ReLU that the start is made for; the 3D host's own as well."""


def kaiming(module: nn.Module) -> None:
    """A convolution starts as in the official code: Kaiming normal for this leak, bias zero; anything else stays."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, a=LEAK)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def global_tokens(
    variants: Sequence[str], *, strides: Sequence[int], squeezes: Sequence[int], placement: str
) -> list[GlobalTokens | None]:
    """The global tokens of each stage's blocks, None where their variant has none.

    Raises:
        ValueError: a variant that does not exist.
    """
    for variant in variants:
        check_variant(variant, VARIANTS)
    return [
        GlobalTokens(stride, squeeze, placement) if VARIANTS[variant].has_globals else None
        for variant, stride, squeeze in zip(variants, strides, squeezes, strict=True)
    ]


def check_stages(stages: int, **lists: Sequence[Any]) -> None:
    """Refuse lists that do not have one entry for each of `stages` stages."""
    for name, values in lists.items():
        if len(values) != stages:
            raise ValueError(f"{name} must have {stages} entries, one for each of its stages, found {tuple(values)}")
