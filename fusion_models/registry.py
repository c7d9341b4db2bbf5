"""Every model of the platform in one table: how to build it, what it can take, what an adapter may touch.

A new model is one file, one row here and one test; the contract tests run over every row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fusion_models.log_vmamba.slices import build_log_vmamba_2d
from fusion_models.log_vmamba.volumes import build_log_vmamba_3d
from fusion_models.pemma.early_fusion import EarlyFusionUnetr
from fusion_models.pemma.unetr import PemmaUnetr
from fusion_models.vmambax.slices import build_vmambax

Option = int | float | str | tuple[int, ...]


@dataclass(frozen=True)
class ModelRow:
    """One model.

    build: called with `crop_zyx`, `classes` and the options. options: what a study file may override.
    settings: modality settings the architecture can run. adapter_targets: module suffixes, named in full.
    pathways: group -> module prefixes that only PET ("pet"), or only CT and PET at once ("fusion"), run through;
        options decide which of them a model has. The rest is the CT network.
    spatial_dims: 2 where the network sees slices, or stacks of neighbouring slices.
    """

    build: Callable[..., nn.Module]
    options: Mapping[str, Option]
    settings: tuple[str, ...]
    adapter_targets: tuple[str, ...]
    pathways: Mapping[str, tuple[str, ...]]
    task: str = "segmentation"
    spatial_dims: int = 3


PAPER = {"patch": 16, "width": 768, "depth": 12, "heads": 12, "mlp": 3072, "features": 48}
SMALL = {"patch": 8, "width": 96, "depth": 6, "heads": 6, "mlp": 192, "features": 8}
TINY = {"patch": 4, "width": 24, "depth": 4, "heads": 2, "mlp": 48, "features": 4}
BETA = {"beta": 1.0}
ALL_SETTINGS = ("ct", "pet", "ct+pet")
ATTENTION = ("attn.qkv", "attn.out_proj")
PET_PATHWAY = {"pet": ("pet_embedding", "pet_skip")}

FUSED = {"merge": "cgm", "interaction": "dcim", "encoder": "shared", "neighbours": 0}
VMAMBAX_PAPER = {
    **FUSED,
    "width": 96,
    "depths": (2, 2, 9, 2),
    "state": 16,
    "patch": 4,
    "drop_path": 0.1,
    "decoder_depth": 4,
    "decoder_state": 4,
}
VMAMBAX_SMALL = {**VMAMBAX_PAPER, "width": 16, "depths": (1, 1, 2, 1), "state": 4, "patch": 2, "decoder_depth": 1}
VMAMBAX_TINY = {**VMAMBAX_SMALL, "depths": (1, 1), "state": 2, "decoder_state": 2}
SCANNED = ("op.in_proj", "op.out_proj", "x_proj")
VMAMBAX_PATHWAYS = {
    "pet": ("network.pet_encoder", "network.pet_tap_norms"),
    "fusion": ("network.merges", "network.interactions"),
}

LOG_2D_PAPER = {
    "width": 96,
    "depths": (2, 2, 9, 2),
    "state": 16,
    "patch": 4,
    "drop_path": 0.2,
    "neighbours": 0,
    "beta": 1.0,
    "variant": "log",
    "placement": "interleaved",
    "compression": 8,
    "expansion": 2,
    "decoder_depth": 2,
    "strides": (2, 2, 4),
    "squeezes": (2, 1, 1),
}
LOG_2D_SMALL = {**LOG_2D_PAPER, "width": 16, "depths": (1, 1, 2, 1), "state": 4, "patch": 2, "decoder_depth": 1}
LOG_2D_TINY = {**LOG_2D_SMALL, "width": 8, "depths": (1, 1), "state": 2, "strides": (2,), "squeezes": (1,)}
LOG_2D_PATHWAY = {"pet": ("network.pet_stem", "network.pet_merge")}
LOG_3D_PAPER = {
    "widths": (32, 64, 128, 256, 320),
    "blocks": (2, 2, 2, 1, 1),
    "decoder_blocks": (2, 2, 2, 1),
    "variants": "l log log g g",
    "strides": (1, 4, 2, 1, 1),
    "squeezes": (1, 1, 1, 2, 8),
    "compression": 16,
    "expansion": 1,
    "state": 16,
    "drop_path": 0.1,
    "placement": "interleaved",
    "beta": 1.0,
}
LOG_3D_SMALL = {
    **LOG_3D_PAPER,
    "widths": (16, 32, 64),
    "blocks": (1, 1, 1),
    "decoder_blocks": (1, 1),
    "variants": "l log g",
    "state": 4,
    "strides": (1, 2, 1),
    "squeezes": (1, 1, 2),
    "compression": 8,
}
LOG_3D_TINY = {
    **LOG_3D_SMALL,
    "widths": (8, 16),
    "blocks": (1, 1),
    "decoder_blocks": (1,),
    "variants": "l log",
    "state": 2,
    "strides": (1, 2),
    "squeezes": (1, 1),
}
LOG_3D_PATHWAY = {"pet": ("pet_stem", "pet_merge")}
LOG_SCANNED = ("in_proj", "x_proj", "fold", "out_proj")

MODELS: Mapping[str, ModelRow] = {
    "pemma-unetr-paper": ModelRow(PemmaUnetr, PAPER | BETA, ALL_SETTINGS, ATTENTION, PET_PATHWAY),
    "pemma-unetr-small": ModelRow(PemmaUnetr, SMALL | BETA, ALL_SETTINGS, ATTENTION, PET_PATHWAY),
    "pemma-unetr-tiny": ModelRow(PemmaUnetr, TINY | BETA, ALL_SETTINGS, ATTENTION, PET_PATHWAY),
    "early-fusion-unetr-paper": ModelRow(EarlyFusionUnetr, PAPER, ("ct+pet",), ATTENTION, {}),
    "early-fusion-unetr-small": ModelRow(EarlyFusionUnetr, SMALL, ("ct+pet",), ATTENTION, {}),
    "early-fusion-unetr-tiny": ModelRow(EarlyFusionUnetr, TINY, ("ct+pet",), ATTENTION, {}),
    "vmambax-paper": ModelRow(build_vmambax, VMAMBAX_PAPER, ALL_SETTINGS, SCANNED, VMAMBAX_PATHWAYS, spatial_dims=2),
    "vmambax-small": ModelRow(build_vmambax, VMAMBAX_SMALL, ALL_SETTINGS, SCANNED, VMAMBAX_PATHWAYS, spatial_dims=2),
    "vmambax-tiny": ModelRow(build_vmambax, VMAMBAX_TINY, ALL_SETTINGS, SCANNED, VMAMBAX_PATHWAYS, spatial_dims=2),
    "log-vmamba-2d-paper": ModelRow(
        build_log_vmamba_2d, LOG_2D_PAPER, ALL_SETTINGS, LOG_SCANNED, LOG_2D_PATHWAY, spatial_dims=2
    ),
    "log-vmamba-2d-small": ModelRow(
        build_log_vmamba_2d, LOG_2D_SMALL, ALL_SETTINGS, LOG_SCANNED, LOG_2D_PATHWAY, spatial_dims=2
    ),
    "log-vmamba-2d-tiny": ModelRow(
        build_log_vmamba_2d, LOG_2D_TINY, ALL_SETTINGS, LOG_SCANNED, LOG_2D_PATHWAY, spatial_dims=2
    ),
    "log-vmamba-3d-paper": ModelRow(build_log_vmamba_3d, LOG_3D_PAPER, ALL_SETTINGS, LOG_SCANNED, LOG_3D_PATHWAY),
    "log-vmamba-3d-small": ModelRow(build_log_vmamba_3d, LOG_3D_SMALL, ALL_SETTINGS, LOG_SCANNED, LOG_3D_PATHWAY),
    "log-vmamba-3d-tiny": ModelRow(build_log_vmamba_3d, LOG_3D_TINY, ALL_SETTINGS, LOG_SCANNED, LOG_3D_PATHWAY),
}


def model_row(name: str) -> ModelRow:
    """The row of a model.

    Raises:
        ValueError: no model has this name; the message lists those that exist.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model '{name}'; known: {sorted(MODELS)}")
    return MODELS[name]


def build_model(name: str, options: Mapping[str, object], *, crop_zyx: Sequence[int], seed: int) -> nn.Module:
    """A freshly initialised model; the same seed gives the same weights.

    Raises:
        ValueError: unknown model or option, or sizes that do not fit each other.
    """
    row = model_row(name)
    unknown = sorted(set(options) - {*row.options, "classes"})
    if unknown:
        raise ValueError(f"model '{name}' has no option(s) {unknown}; known: {sorted([*row.options, 'classes'])}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return row.build(crop_zyx=crop_zyx, **{**row.options, **options})
