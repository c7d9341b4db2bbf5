"""Every model of the platform in one table: how to build it, what it can take, what an adapter may touch.

A new model is one file, one row here and one test; the contract tests run over every row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fusion_models import sizes
from fusion_models.log_vmamba.ct_pet_2d import build_log_vmamba_2d
from fusion_models.log_vmamba.ct_pet_3d import build_log_vmamba_3d
from fusion_models.pemma.early_fusion import EarlyFusionUnetr
from fusion_models.pemma.unetr import PemmaUnetr
from fusion_models.vmambax.slices import build_vmambax


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
    options: sizes.Sizes
    settings: tuple[str, ...]
    adapter_targets: tuple[str, ...]
    pathways: Mapping[str, tuple[str, ...]]
    task: str = "segmentation"
    spatial_dims: int = 3

    @property
    def pathway_modules(self) -> tuple[str, ...]:
        """The module prefixes of all pathways."""
        return tuple(prefix for prefixes in self.pathways.values() for prefix in prefixes)


ALL_SETTINGS = ("ct", "pet", "ct+pet")
ATTENTION = ("attn.qkv", "attn.out_proj")
SCANNED = ("op.in_proj", "op.out_proj", "x_proj")
LOG_SCANNED = ("in_proj", "x_proj", "fold", "out_proj")
PEMMA_PATHWAY = {"pet": ("pet_embedding", "pet_skip")}
VMAMBAX_PATHWAYS = {
    "pet": ("network.pet_encoder", "network.pet_tap_norms"),
    "fusion": ("network.merges", "network.interactions"),
}
LOG_2D_PATHWAY = {"pet": ("network.pet_stem", "network.pet_merge")}
LOG_3D_PATHWAY = {"pet": ("pet_stem", "pet_merge")}

MODELS: Mapping[str, ModelRow] = {
    "pemma-unetr-paper": ModelRow(PemmaUnetr, sizes.PEMMA_PAPER, ALL_SETTINGS, ATTENTION, PEMMA_PATHWAY),
    "pemma-unetr-small": ModelRow(PemmaUnetr, sizes.PEMMA_SMALL, ALL_SETTINGS, ATTENTION, PEMMA_PATHWAY),
    "pemma-unetr-tiny": ModelRow(PemmaUnetr, sizes.PEMMA_TINY, ALL_SETTINGS, ATTENTION, PEMMA_PATHWAY),
    "early-fusion-unetr-paper": ModelRow(EarlyFusionUnetr, sizes.UNETR_PAPER, ("ct+pet",), ATTENTION, {}),
    "early-fusion-unetr-small": ModelRow(EarlyFusionUnetr, sizes.UNETR_SMALL, ("ct+pet",), ATTENTION, {}),
    "early-fusion-unetr-tiny": ModelRow(EarlyFusionUnetr, sizes.UNETR_TINY, ("ct+pet",), ATTENTION, {}),
    "vmambax-paper": ModelRow(
        build_vmambax, sizes.VMAMBAX_PAPER, ALL_SETTINGS, SCANNED, VMAMBAX_PATHWAYS, spatial_dims=2
    ),
    "vmambax-small": ModelRow(
        build_vmambax, sizes.VMAMBAX_SMALL, ALL_SETTINGS, SCANNED, VMAMBAX_PATHWAYS, spatial_dims=2
    ),
    "vmambax-tiny": ModelRow(
        build_vmambax, sizes.VMAMBAX_TINY, ALL_SETTINGS, SCANNED, VMAMBAX_PATHWAYS, spatial_dims=2
    ),
    "log-vmamba-2d-paper": ModelRow(
        build_log_vmamba_2d, sizes.LOG_2D_PAPER, ALL_SETTINGS, LOG_SCANNED, LOG_2D_PATHWAY, spatial_dims=2
    ),
    "log-vmamba-2d-small": ModelRow(
        build_log_vmamba_2d, sizes.LOG_2D_SMALL, ALL_SETTINGS, LOG_SCANNED, LOG_2D_PATHWAY, spatial_dims=2
    ),
    "log-vmamba-2d-tiny": ModelRow(
        build_log_vmamba_2d, sizes.LOG_2D_TINY, ALL_SETTINGS, LOG_SCANNED, LOG_2D_PATHWAY, spatial_dims=2
    ),
    "log-vmamba-3d-paper": ModelRow(build_log_vmamba_3d, sizes.LOG_3D_PAPER, ALL_SETTINGS, LOG_SCANNED, LOG_3D_PATHWAY),
    "log-vmamba-3d-small": ModelRow(build_log_vmamba_3d, sizes.LOG_3D_SMALL, ALL_SETTINGS, LOG_SCANNED, LOG_3D_PATHWAY),
    "log-vmamba-3d-tiny": ModelRow(build_log_vmamba_3d, sizes.LOG_3D_TINY, ALL_SETTINGS, LOG_SCANNED, LOG_3D_PATHWAY),
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
        ValueError: unknown model or option, an option of another kind, or sizes that do not fit each other.
    """
    row = model_row(name)
    sizes.check_options(name, {**row.options, "classes": 2}, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return row.build(crop_zyx=crop_zyx, **{**row.options, **options})
