"""Public checkpoints of MONAI's Swin UNETR in the CT network of PEMMA-Swin.

    published by             tensors under    names begin with       classes of `out`
    SuPreM (supervised)      net              module.backbone.       those of its organs
    MONAI, BTCV              state_dict       as here                14
    MONAI's own format       (bare), model    module., or as here    any

Both published networks are `SWIN_PAPER` with one input channel. After the prefix the names are MONAI's and ours, tensor
for tensor. `out` of another number of classes is skipped, and the network keeps what its seed drew; relative-position
indices follow from the window and are counted nowhere; tensors of other parts (SuPreM's text encodings, a controller)
are ignored by name. A file of other widths, depths or windows, of Swin UNETR V2, or of the self-supervised encoder
alone is refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusion_models.adapters.keys import is_inside
from fusion_models.public_weights import CheckpointReport
from fusion_models.ssm.checkpoint_differences import differences

CONTAINERS = ("net", "state_dict", "model")
PREFIX = re.compile(r"^(module\.)?(backbone\.)?")
HEAD = "out."
INDEX = "relative_position_index"


def load_public(model: nn.Module, content: Mapping[str, Any], pathways: Sequence[str]) -> CheckpointReport:
    """Load a checkpoint into the CT network of a `PemmaSwin`, all of it or nothing (a `PublicWeights`).

    Raises:
        ValueError: the tensors are those of another network; the message names what was found and expected.
    """
    given = tensors_of(content)
    own = {name: tensor for name, tensor in model.named_parameters() if not is_inside(name, pathways)}
    parts = {name.partition(".")[0] for name in own}
    names = {ours: theirs for theirs in given if _is_part(ours := plain_name(theirs), parts)}
    state = {ours: given[theirs] for ours, theirs in names.items()}
    skipped = {name for name in own if name.startswith(HEAD) and _shape(state.get(name)) != own[name].shape}
    problems = differences(_without(state, skipped), _without(own, skipped))
    if problems:
        raise ValueError(f"checkpoint of another network than this Swin UNETR ({_describe(own)}): {problems}")
    with torch.no_grad():
        for name in sorted(set(own) - skipped):
            own[name].copy_(state[name])
    return CheckpointReport(
        used=tuple(sorted(names[name] for name in set(own) - skipped)),
        ignored=tuple(sorted(set(given) - set(names.values()))),
        skipped=tuple(sorted(names[name] for name in skipped & set(names))),
        ignored_as="no part of a Swin UNETR",
        skipped_as="for other classes",
    )


def tensors_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file by its own names, relative-position indices aside."""
    bare = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), content)
    return {name: tensor for name, tensor in bare.items() if isinstance(tensor, Tensor) and not name.endswith(INDEX)}


def plain_name(name: str) -> str:
    """MONAI's name of a tensor whose name may begin with what a wrapper put before it."""
    return PREFIX.sub("", name)


def _is_part(name: str, parts: set[str]) -> bool:
    return name.partition(".")[0] in parts


def _without(tensors: Mapping[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name not in names}


def _shape(tensor: Tensor | None) -> tuple[int, ...]:
    return () if tensor is None else tuple(tensor.shape)


def _describe(own: Mapping[str, Tensor]) -> str:
    stages = sorted({name.split(".")[1] for name in own if name.startswith("swinViT.layers")})
    blocks = {name.split(".")[1] + name.split(".")[4] for name in own if ".blocks." in name}
    depths = tuple(sum(block.startswith(stage) for block in blocks) for stage in stages)
    return f"{own['swinViT.patch_embed.proj.weight'].shape[0]} features, depths {depths}"
