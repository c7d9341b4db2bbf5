"""Public ImageNet weights of VMamba's first version (arXiv 2401.10166, release "#v0cls") in a `VSSEncoder`.

    in the file                          here
    patch_embed.{proj,norm}.*            patch_embed.{proj,norm}.*
    layers.I.blocks.J.ln_1.*             stages.I.blocks.J.norm.*
    layers.I.blocks.J.self_attention.*   stages.I.blocks.J.op.*, stacked directions apart (`stacked`)
    layers.I.downsample.*                stages.I.downsample.*
    norm.*, head.*                       the classifier, ignored

Tiny is vssmtiny_dp01_ckpt_epoch_292.pth, 91,649,482 bytes: 212 tensors, of which 208 are used. Its sha256 is
dbc0cc4f5ec0e45db5fba7c939d2c7d9b617e891ac10766912a8d604c37c5e47.
Later releases (v1, v2) have other blocks and other names, and are refused.

No file is read here. The .pth holds the tensors under "model" beside more; a safetensors file of them holds them bare.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from fusion_models.adapters.keys import is_inside
from fusion_models.public_weights import CheckpointReport
from fusion_models.ssm.checkpoint_differences import differences
from fusion_models.ssm.stacked import split_directions, stack_directions
from fusion_models.ssm.vss import VSSBlock
from fusion_models.ssm.vss_encoder import VSSEncoder

CLASSIFIER = ("norm.weight", "norm.bias", "head.weight", "head.bias")
PATCH_EMBED = "patch_embed."
KERNEL = "patch_embed.proj.weight"
PARTS = {"norm": "ln_1", "op": "self_attention"}
BLOCK_PART = re.compile(r"(blocks\.\d+)\.(norm|op)\.")
BLOCK = re.compile(r"^layers\.(\d+)\.blocks\.(\d+)\.")
LATER_SPELLINGS = {
    "patch_embed.proj.": "patch_embed.0.",
    "patch_embed.norm.": "patch_embed.2.",
    "stages.": "layers.",
}
LATER_NAMES = re.compile(r"\.op\.|\.mlp\.|^classifier\.|^patch_embed\.\d")


def load_public(model: nn.Module, content: Mapping[str, Any], pathways: Sequence[str]) -> CheckpointReport:
    """Load a file of public weights into the VMamba encoder of a model's CT network (a `PublicWeights`).

    Raises:
        ValueError: the CT network has no such encoder, or the weights are those of another variant.
    """
    for path, module in model.named_modules():
        if isinstance(module, VSSEncoder) and not is_inside(path, pathways):
            return load_vmamba(module, content.get("model", content))
    raise ValueError(f"the CT network of {type(model).__name__} has no VMamba encoder")


def load_vmamba(encoder: VSSEncoder, state: Mapping[str, Tensor]) -> CheckpointReport:
    """Load the public weights into an encoder, all of them or none.

    With one input channel the kernel is the sum over the file's channels, which equals copying the image to each of
    them. A patch embedding for another number of channels or another patch is skipped and reported.

    Args:
        encoder: without adapters yet; a model injects them afterwards.
        state: what a file of the public format holds under "model".

    Raises:
        ValueError: the tensors are those of another variant; the message names what was found and expected.
    """
    ours = {public_name(key): key for key in stack_directions(encoder.state_dict())}
    own = {public_name(key): tensor for key, tensor in stack_directions(encoder.state_dict()).items()}
    given = _for_inputs_of(own, {name: tensor for name, tensor in state.items() if name not in CLASSIFIER})
    skipped = sorted(set(state) - set(given) - set(CLASSIFIER))
    problems = differences(given, {name: tensor for name, tensor in own.items() if name not in skipped})
    if problems:
        raise ValueError(
            f"checkpoint of another variant: found {_describe_state(state)}, expected {_of(encoder)}; {problems}"
        )
    merged = {ours[name]: given.get(name, own[name]) for name in own}
    encoder.load_state_dict(split_directions(merged), strict=True)
    return CheckpointReport(tuple(sorted(given)), tuple(sorted(set(state) & set(CLASSIFIER))), tuple(skipped))


def public_name(key: str) -> str:
    """A `VSSEncoder` name, directions stacked, as the public file's."""
    key = BLOCK_PART.sub(lambda match: f"{match[1]}.{PARTS[match[2]]}.", key)
    return re.sub(r"^stages\.", "layers.", key)


def later_name(key: str) -> str:
    """The same as VMamba's later releases spell it, and the code of others who build on them."""
    for ours, theirs in LATER_SPELLINGS.items():
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key


def _for_inputs_of(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with the patch embedding made to fit the encoder's inputs, or without it."""
    kernel, expected = given.get(KERNEL), own[KERNEL].shape
    if kernel is None or kernel.shape == expected or kernel.shape[:1] != expected[:1]:
        return dict(given)
    if expected[1] == 1 and kernel.shape[2:] == expected[2:]:
        return {**given, KERNEL: kernel.sum(1, keepdim=True)}
    return {name: tensor for name, tensor in given.items() if not name.startswith(PATCH_EMBED)}


def _of(encoder: VSSEncoder) -> str:
    stages = [[block for block in stage.modules() if isinstance(block, VSSBlock)] for stage in encoder.stages]
    return _describe("v0", str(encoder.widths[0]), [len(blocks) for blocks in stages])


def _describe_state(state: Mapping[str, Tensor]) -> str:
    blocks = {(int(match[1]), int(match[2])) for match in map(BLOCK.match, state) if match}
    depths = [sum(stage == i for stage, _ in blocks) for i in sorted({stage for stage, _ in blocks})]
    width = next((str(tensor.shape[0]) for name, tensor in state.items() if name.startswith(PATCH_EMBED)), "unknown")
    names = "later (v1, v2)" if any(map(LATER_NAMES.search, state)) else "v0" if depths else "no VMamba"
    return _describe(names, width, depths)


def _describe(names: str, width: str, depths: Sequence[int]) -> str:
    return f"{names} names, width {width}, depths {tuple(depths)}"
