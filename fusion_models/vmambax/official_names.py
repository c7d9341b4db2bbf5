"""Checkpoints of the official vMambaX code: its tensor names and ours, and back (arXiv 2510.27508 and its code).

    encoder                              backbone.vssm, as in `vmamba_checkpoint.later_name`
    tap_norms.I                          backbone.vssm.outnormI
    merges.I.cgm                         backbone.modal_fusion.I, gates named as in `cgm.OFFICIAL_NAMES`
    interactions.I.{stem, block}         backbone.{region_patch, channel_attn_mamba}.I, as in `dcim.OFFICIAL_NAMES`
    decoder                              decode_head
    op.directions.k                      the four directions stacked, as in `fusion_models.ssm.stacked`

A file of the official code is a mapping with the tensors under "model", or under "state_dict" with the prefix "model.".
They fit `VMambaX(merge="cgm", interaction="dcim", encoder="shared", norm=nn.BatchNorm2d)` of the same sizes.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from fusion_models.ssm.checkpoint_differences import differences
from fusion_models.ssm.stacked import split_directions, stack_directions
from fusion_models.ssm.vmamba_checkpoint import later_name
from fusion_models.vmambax.cgm import OFFICIAL_NAMES as CGM_NAMES
from fusion_models.vmambax.dcim import OFFICIAL_NAMES as DCIM_NAMES

HOSTS = {"stem": "region_patch", "block": "channel_attn_mamba"}
LIGHTNING_PREFIX = "model."
ENCODER = "encoder."

RENAMES: tuple[tuple[str, str], ...] = (
    (r"tap_norms\.(\d+)\.", r"backbone.vssm.outnorm\1."),
    (r"decoder\.", "decode_head."),
    *(
        (rf"merges\.(\d+)\.cgm\.{re.escape(ours)}", rf"backbone.modal_fusion.\1.{theirs}")
        for theirs, ours in CGM_NAMES.items()
    ),
    *(
        (rf"interactions\.(\d+)\.{re.escape(ours)}", rf"backbone.{HOSTS[ours.split('.')[0]]}.\1.{theirs}")
        for theirs, ours in DCIM_NAMES.items()
    ),
)
"""Beginning of our name outside the encoder, directions already stacked -> the official one."""


def official_name(key: str) -> str:
    """The official name of a tensor of `VMambaX`, directions already stacked; names the official code has not pass."""
    if key.startswith(ENCODER):
        return f"backbone.vssm.{later_name(key.removeprefix(ENCODER))}"
    for ours, theirs in RENAMES:
        renamed, found = re.subn(rf"^{ours}", theirs, key)
        if found:
            return renamed
    return key


def to_official(network: nn.Module) -> dict[str, Tensor]:
    """The state of a `VMambaX` under official names."""
    return {official_name(key): tensor for key, tensor in stack_directions(network.state_dict()).items()}


def load_official(network: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Load a checkpoint of the official code, every tensor of it.

    Args:
        network: a `VMambaX` of the same sizes. checkpoint: the file's content, or the tensors by official name.

    Raises:
        ValueError: the checkpoint is of another variant; nothing is loaded then.
    """
    state, own = official_tensors(checkpoint), to_official(network)
    problems = differences(state, own)
    if problems:
        raise ValueError(
            f"checkpoint of another variant: found {len(state)} tensors, expected {len(own)}; {problems}; build the "
            "network with the checkpoint's sizes and norm=BatchNorm2d"
        )
    names = {official_name(key): key for key in stack_directions(network.state_dict())}
    network.load_state_dict(split_directions({names[name]: tensor for name, tensor in state.items()}), strict=True)


def official_tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file by official name: `checkpoint["model"]`, or `checkpoint["state_dict"]` less its prefix."""
    if "state_dict" in checkpoint:
        return {key.removeprefix(LIGHTNING_PREFIX): tensor for key, tensor in checkpoint["state_dict"].items()}
    return dict(checkpoint.get("model", checkpoint))
