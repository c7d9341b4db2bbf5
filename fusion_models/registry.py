"""Every model of the platform in one table: how to build it, what it can take, what an adapter may touch.

A new model is one file, one row here and one test; the contract tests run over every row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fusion_models.pemma.early_fusion import EarlyFusionUnetr
from fusion_models.pemma.unetr import PemmaUnetr


@dataclass(frozen=True)
class ModelRow:
    """One model.

    build: called with `crop_zyx` and the options. options: sizes a study file may override.
    settings: modality settings the architecture can run. adapter_targets: module suffixes, named in full.
    pathways: modality -> module prefixes that belong to it alone.
    """

    build: Callable[..., nn.Module]
    options: Mapping[str, int | float]
    settings: tuple[str, ...]
    adapter_targets: tuple[str, ...]
    pathways: Mapping[str, tuple[str, ...]]
    task: str = "segmentation"
    spatial_dims: int = 3


PAPER = {"patch": 16, "width": 768, "depth": 12, "heads": 12, "mlp": 3072, "features": 48}
SMALL = {"patch": 8, "width": 96, "depth": 6, "heads": 6, "mlp": 192, "features": 8}
TINY = {"patch": 4, "width": 24, "depth": 4, "heads": 2, "mlp": 48, "features": 4}
ALL_SETTINGS = ("ct", "pet", "ct+pet")
ATTENTION = ("attn.qkv", "attn.out_proj")
PET_PATHWAY = {"pet": ("pet_embedding", "pet_skip")}

MODELS: Mapping[str, ModelRow] = {
    "pemma-unetr-paper": ModelRow(PemmaUnetr, PAPER, ALL_SETTINGS, ATTENTION, PET_PATHWAY),
    "pemma-unetr-small": ModelRow(PemmaUnetr, SMALL, ALL_SETTINGS, ATTENTION, PET_PATHWAY),
    "pemma-unetr-tiny": ModelRow(PemmaUnetr, TINY, ALL_SETTINGS, ATTENTION, PET_PATHWAY),
    "early-fusion-unetr-paper": ModelRow(EarlyFusionUnetr, PAPER, ("ct+pet",), ATTENTION, {}),
    "early-fusion-unetr-small": ModelRow(EarlyFusionUnetr, SMALL, ("ct+pet",), ATTENTION, {}),
    "early-fusion-unetr-tiny": ModelRow(EarlyFusionUnetr, TINY, ("ct+pet",), ATTENTION, {}),
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
    unknown = sorted(set(options) - set(row.options) - {"classes", "beta"})
    if unknown:
        raise ValueError(
            f"model '{name}' has no option(s) {unknown}; known: {sorted([*row.options, 'classes', 'beta'])}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return row.build(crop_zyx=crop_zyx, **{**row.options, **options})
