"""PET beside CT in LoG-VMamba: a stem of PET's own, one shared encoder, a merge of PET's own at each map.

    F_i^C, F_i^P   maps of the shared encoder, CT through the CT network's stem, PET through `pet_stem`
    F_i            F_i^C + beta * merge_i(F_i^P)       the decoder's input; merge_i keeps the width

A missing modality drops its term; it is never replaced by zeros, so that CT alone gives the CT network's maps, bit for
bit. merge_i starts as the identity: PET's maps first reach the decoder as CT's would (pathways as arXiv 2404.13704).

    F_i            F_i^C + s_i beta * merge_i(F_i^P)   with gains s_i, one a channel, 0 at first: the CT network's maps
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from fusion_models.adapters.routing import rows_of

Merge = TypeVar("Merge", nn.Linear, nn.Conv3d)


def merge_maps(
    images: Mapping[str, Tensor],
    *,
    stems: Mapping[str, Callable[[Tensor], Tensor]],
    encode: Callable[[Tensor], Sequence[Tensor]],
    merges: nn.ModuleList,
    beta: float,
    gains: nn.ModuleList | None = None,
) -> list[Tensor]:
    """F_0..F_n of the modalities present, finest first.

    Args:
        images: "ct", "pet" or both -> image. stems: modality -> what gives the encoder's input.
        encode: a stem's output -> F_0..F_n. merges: merge_0..merge_n. beta: weight of PET's maps.
        gains: s_0..s_n; with them each modality passes the encoder by itself, without as one batch.
    """
    stemmed = {name: stems[name](image) for name, image in images.items()}
    calls = [list(stemmed)] if gains is None else [[name] for name in stemmed]
    of = {name: maps for names in calls for name, maps in encode_together(stemmed, names, encode).items()}
    if "pet" not in of:
        return list(of["ct"])
    merged = [beta * merge(each) for merge, each in zip(merges, of["pet"], strict=True)]
    if "ct" not in of:
        return merged
    heard = merged if gains is None else [gain(each) for gain, each in zip(gains, merged, strict=True)]
    return [own + extra for own, extra in zip(of["ct"], heard, strict=True)]


def encode_together(
    stemmed: Mapping[str, Tensor], names: Sequence[str], encode: Callable[[Tensor], Sequence[Tensor]]
) -> dict[str, Sequence[Tensor]]:
    """F_0..F_n of the modalities named, which pass the encoder as one batch, of all that are there."""
    with rows_of({name: len(stemmed[name]) for name in names}, axis=0, beside=stemmed):
        maps = encode(torch.cat([stemmed[name] for name in names]))
    return dict(zip(names, zip(*(each.chunk(len(names)) for each in maps), strict=True), strict=True))


def identity(layer: Merge) -> Merge:
    """The layer, from here on the identity: of a linear layer's features, or of a 1x1x1 convolution's channels."""
    nn.init.eye_(layer.weight.detach().flatten(1))
    nn.init.zeros_(layer.get_parameter("bias"))
    return layer
