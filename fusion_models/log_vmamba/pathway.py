"""PET beside CT in LoG-VMamba: a stem of PET's own, one shared encoder, a merge of PET's own at each map.

    F_i^C, F_i^P   maps of the shared encoder, CT through the CT network's stem, PET through `pet_stem`
    F_i            F_i^C + beta * merge_i(F_i^P)       the decoder's input; merge_i keeps the width

A missing modality drops its term; it is never replaced by zeros, so that CT alone gives the CT network's maps, bit for
bit. merge_i starts as the identity: PET's maps first reach the decoder as CT's would (pathways as arXiv 2404.13704).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Merge = TypeVar("Merge", nn.Linear, nn.Conv3d)


def merge_maps(
    images: Mapping[str, Tensor],
    *,
    stems: Mapping[str, nn.Module],
    encode: Callable[[Tensor], Sequence[Tensor]],
    merges: nn.ModuleList,
    beta: float,
) -> list[Tensor]:
    """F_0..F_n of the modalities present, finest first; all of them pass the encoder as one batch.

    Args:
        images: "ct", "pet" or both -> image. stems: modality -> what gives the encoder's input.
        encode: a stem's output -> F_0..F_n. merges: merge_0..merge_n. beta: weight of PET's maps.
    """
    maps = encode(torch.cat([stems[name](image) for name, image in images.items()]))
    of = dict(zip(images, zip(*(each.chunk(len(images)) for each in maps), strict=True), strict=True))
    if "pet" not in of:
        return list(of["ct"])
    merged = [beta * merge(each) for merge, each in zip(merges, of["pet"], strict=True)]
    return [own + extra for own, extra in zip(of["ct"], merged, strict=True)] if "ct" in of else merged


def identity(layer: Merge) -> Merge:
    """The layer, from here on the identity: of a linear layer's features, or of a 1x1x1 convolution's channels."""
    nn.init.eye_(layer.weight.detach().flatten(1))
    nn.init.zeros_(layer.get_parameter("bias"))
    return layer
