"""Every model of the platform in one table: how to build it, what it can take, what an adapter may touch.

A new model is one file, one row here and one test; the contract tests run over every row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from fusion_models.clinicalfmamba import network as clinicalfmamba
from fusion_models.clinicalfmamba import volumes
from fusion_models.contract import FusionModel
from fusion_models.log_vmamba import ct_pet_2d, ct_pet_3d
from fusion_models.modality import MODALITIES, settings_of
from fusion_models.model_row import Crop, ModelRow
from fusion_models.multistage import baselines, network
from fusion_models.options import Sizes, check_options
from fusion_models.pemma import early_fusion, early_fusion_swin, prognosis, swin, swin_checkpoint, swin_unetr, unetr
from fusion_models.resenc import ct_pet
from fusion_models.ssm import vmamba_checkpoint
from fusion_models.survival import ehr
from fusion_models.vmambax import gate_statistics, slices

ALL_SETTINGS = settings_of(("ct", "pet"))
EVERY_SETTING = settings_of(MODALITIES)
ATTENTION = ("attn.qkv", "attn.out_proj")
DECODED = ("conv_block.conv1.conv", "conv_block.conv2.conv")
SWIN_LAYERS = ("attn.qkv", "attn.proj", "mlp.linear1", "mlp.linear2")
SCANNED = ("op.in_proj", "op.out_proj", "x_proj")
PLAIN = ("op.in_proj", "op.out_proj", "mixer.down", "mixer.up")
LOG_PLAIN = ("in_proj", "scan.down", "scan.up", "fold", "out_proj")
LOG_SCANNED = ("in_proj", "x_proj", "fold", "out_proj")
PEMMA_PATHWAY = {"pet": ("pet_embedding", "pet_skip"), "fusion": ("attention_gates", "skip_gain")}
PROGNOSIS_PATHWAYS = {**PEMMA_PATHWAY, "ehr": ("ehr_embedding",), "head": ("head",)}
SWIN_PATHWAYS = {"pet": ("pet_embedding", "pet_skip", "fuse", "pet_adapter"), "fusion": ("ct_adapter",)}
VMAMBAX_PATHWAYS = {
    "pet": ("network.pet_encoder", "network.pet_tap_norms"),
    "fusion": ("network.merges", "network.interactions", "network.fusion_gates"),
}
LOG_2D_PATHWAY = {"pet": ("network.pet_stem", "network.pet_merge"), "fusion": ("network.pet_gains",)}
LOG_3D_PATHWAY = {"pet": ("pet_stem", "pet_merge"), "fusion": ("pet_gains",)}
CONVOLVED = ("conv1", "conv2")
MULTISTAGE_PATHWAYS = {
    "pet": ("pet_stream", "head.pet"),
    "fusion": ("fusions", "message_gains", "answer_gain"),
    "head": ("head",),
}
LATE_PATHWAYS = {"pet": ("pet_stream", "pet_head"), "head": ("ct_head",)}
RESENC_CONVOLVED = ("conv1.conv", "conv2.conv", "mix.conv")
RESENC_PATHWAY = {"pet": ("pet_encoder", "pet_merge")}
FUSED = ("in_proj", "x_proj", "out_proj", "join")
FUSION_PATHWAYS = {
    "pet": ("network.second_latent",),
    "fusion": ("network.first_fusion", "network.second_fusion", "network.exchange", "network.cmca"),
}
CLASSES = ("classification",)
EHR_PATHWAYS = {"ehr": ("ehr",), "head": ("head",)}
# There is no image; a study's crop is then of no one.
NO_CROP = (1, 1, 1)


def _pemma(options: Sizes, crop_zyx: Crop) -> ModelRow:
    targets = (*ATTENTION, *DECODED)
    return ModelRow(unetr.PemmaUnetr, options, crop_zyx, ALL_SETTINGS, targets, PEMMA_PATHWAY, routed=True)


def _pemma_prognosis(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(
        prognosis.PemmaPrognosis,
        options,
        crop_zyx,
        EVERY_SETTING,
        ATTENTION,
        PROGNOSIS_PATHWAYS,
        tasks=("segmentation", "classification", "survival"),
        routed=True,
    )


def _early_fusion(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(early_fusion.EarlyFusionUnetr, options, crop_zyx, ("ct+pet",), ATTENTION, {})


def _pemma_swin(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(
        swin.PemmaSwin,
        options,
        crop_zyx,
        ALL_SETTINGS,
        SWIN_LAYERS,
        SWIN_PATHWAYS,
        routed=True,
        public_weights=swin_checkpoint.load_public,
    )


def _early_fusion_swin(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(early_fusion_swin.EarlyFusionSwin, options, crop_zyx, ("ct+pet",), SWIN_LAYERS, {})


def _vmambax(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(
        slices.build_vmambax,
        options,
        crop_zyx,
        ALL_SETTINGS,
        SCANNED,
        VMAMBAX_PATHWAYS,
        spatial_dims=2,
        routed=True,
        diagnostics=gate_statistics.GateStatistics,
        public_weights=vmamba_checkpoint.load_public,
    )


def _vmambax_no_mamba(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return replace(_vmambax(options, crop_zyx), adapter_targets=PLAIN, public_weights=None)


def _log_2d(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(
        ct_pet_2d.build_log_vmamba_2d,
        options,
        crop_zyx,
        ALL_SETTINGS,
        LOG_SCANNED,
        LOG_2D_PATHWAY,
        spatial_dims=2,
        routed=True,
        public_weights=vmamba_checkpoint.load_public,
    )


def _log_3d(options: Sizes, crop_zyx: Crop, targets: tuple[str, ...] = LOG_SCANNED) -> ModelRow:
    return ModelRow(
        ct_pet_3d.build_log_vmamba_3d, options, crop_zyx, ALL_SETTINGS, targets, LOG_3D_PATHWAY, routed=True
    )


def _resenc(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(ct_pet.CtPetResEnc, options, crop_zyx, ALL_SETTINGS, RESENC_CONVOLVED, RESENC_PATHWAY, routed=True)


def _multistage(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(
        network.MultistageClassifier, options, crop_zyx, ALL_SETTINGS, CONVOLVED, MULTISTAGE_PATHWAYS, tasks=CLASSES
    )


def _multistage_early(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(
        baselines.EarlyFusionClassifier, options, crop_zyx, ("ct+pet",), CONVOLVED, {"head": ("head",)}, tasks=CLASSES
    )


def _multistage_late(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return ModelRow(
        baselines.LateFusionClassifier, options, crop_zyx, ALL_SETTINGS, CONVOLVED, LATE_PATHWAYS, tasks=CLASSES
    )


def _fuser(build: Callable[..., FusionModel], options: Sizes, crop_zyx: Crop, spatial_dims: int) -> ModelRow:
    return ModelRow(
        build,
        options,
        crop_zyx,
        ("ct", "ct+pet"),
        FUSED,
        FUSION_PATHWAYS,
        tasks=("fusion",),
        spatial_dims=spatial_dims,
        omissible=("channel_mix", "cmca_kernel", "decoder_blocks"),
    )


def _fuser_2d(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return _fuser(volumes.build_slices, options, crop_zyx, 2)


def _fuser_3d(options: Sizes, crop_zyx: Crop) -> ModelRow:
    return _fuser(volumes.build_volumes, options, crop_zyx, 3)


def _ehr(build: Callable[..., FusionModel], options: Sizes) -> ModelRow:
    return ModelRow(build, options, NO_CROP, ("ehr",), (), EHR_PATHWAYS, tasks=("survival",))


MODELS: Mapping[str, ModelRow] = {
    "pemma-unetr-paper": _pemma(unetr.PEMMA_PAPER, (96, 96, 96)),
    "pemma-unetr-small": _pemma(unetr.PEMMA_SMALL, (48, 48, 48)),
    "pemma-unetr-tiny": _pemma(unetr.PEMMA_TINY, (16, 16, 16)),
    "pemma-prognosis-paper": _pemma_prognosis(prognosis.PROGNOSIS_PAPER, (96, 96, 96)),
    "pemma-prognosis-small": _pemma_prognosis(prognosis.PROGNOSIS_SMALL, (48, 48, 48)),
    "pemma-prognosis-tiny": _pemma_prognosis(prognosis.PROGNOSIS_TINY, (16, 16, 16)),
    "early-fusion-unetr-paper": _early_fusion(unetr.UNETR_PAPER, (96, 96, 96)),
    "early-fusion-unetr-small": _early_fusion(unetr.UNETR_SMALL, (48, 48, 48)),
    "early-fusion-unetr-tiny": _early_fusion(unetr.UNETR_TINY, (16, 16, 16)),
    "pemma-swin-paper": _pemma_swin(swin_unetr.SWIN_PAPER, (96, 96, 96)),
    "pemma-swin-small": _pemma_swin(swin_unetr.SWIN_SMALL, (48, 48, 48)),
    "pemma-swin-tiny": _pemma_swin(swin_unetr.SWIN_TINY, (16, 16, 16)),
    "early-fusion-swin-paper": _early_fusion_swin(swin_unetr.SWIN_PAPER, (96, 96, 96)),
    "early-fusion-swin-small": _early_fusion_swin(swin_unetr.SWIN_SMALL, (48, 48, 48)),
    "early-fusion-swin-tiny": _early_fusion_swin(swin_unetr.SWIN_TINY, (16, 16, 16)),
    "vmambax-paper": _vmambax(slices.VMAMBAX_PAPER, (1, 512, 512)),
    "vmambax-small": _vmambax(slices.VMAMBAX_SMALL, (1, 64, 64)),
    "vmambax-tiny": _vmambax(slices.VMAMBAX_TINY, (3, 32, 16)),
    "vmambax-no-mamba-paper": _vmambax_no_mamba(slices.NO_MAMBA_PAPER, (1, 512, 512)),
    "vmambax-no-mamba-small": _vmambax_no_mamba(slices.NO_MAMBA_SMALL, (1, 64, 64)),
    "vmambax-no-mamba-tiny": _vmambax_no_mamba(slices.NO_MAMBA_TINY, (3, 32, 16)),
    "log-vmamba-2d-paper": _log_2d(ct_pet_2d.LOG_2D_PAPER, (1, 512, 512)),
    "log-vmamba-2d-small": _log_2d(ct_pet_2d.LOG_2D_SMALL, (1, 64, 64)),
    "log-vmamba-2d-tiny": _log_2d(ct_pet_2d.LOG_2D_TINY, (3, 32, 16)),
    "log-vmamba-3d-paper": _log_3d(ct_pet_3d.LOG_3D_PAPER, (128, 128, 128)),
    "log-vmamba-3d-small": _log_3d(ct_pet_3d.LOG_3D_SMALL, (32, 32, 32)),
    "log-vmamba-3d-tiny": _log_3d(ct_pet_3d.LOG_3D_TINY, (16, 16, 16)),
    "log-vmamba-3d-no-mamba-paper": _log_3d(ct_pet_3d.NO_MAMBA_3D_PAPER, (128, 128, 128), LOG_PLAIN),
    "log-vmamba-3d-no-mamba-small": _log_3d(ct_pet_3d.NO_MAMBA_3D_SMALL, (32, 32, 32), LOG_PLAIN),
    "log-vmamba-3d-no-mamba-tiny": _log_3d(ct_pet_3d.NO_MAMBA_3D_TINY, (16, 16, 16), LOG_PLAIN),
    "resenc-paper": _resenc(ct_pet.RESENC_PAPER, (128, 128, 128)),
    "resenc-small": _resenc(ct_pet.RESENC_SMALL, (48, 48, 48)),
    "resenc-tiny": _resenc(ct_pet.RESENC_TINY, (16, 16, 16)),
    "multistage-paper": _multistage(network.MULTISTAGE_PAPER, (96, 176, 256)),
    "multistage-small": _multistage(network.MULTISTAGE_SMALL, (48, 48, 48)),
    "multistage-tiny": _multistage(network.MULTISTAGE_TINY, (16, 16, 16)),
    "multistage-early-paper": _multistage_early(network.STREAM_PAPER, (96, 176, 256)),
    "multistage-early-small": _multistage_early(network.STREAM_SMALL, (48, 48, 48)),
    "multistage-early-tiny": _multistage_early(network.STREAM_TINY, (16, 16, 16)),
    "multistage-late-paper": _multistage_late(network.STREAM_PAPER, (96, 176, 256)),
    "multistage-late-small": _multistage_late(network.STREAM_SMALL, (48, 48, 48)),
    "multistage-late-tiny": _multistage_late(network.STREAM_TINY, (16, 16, 16)),
    "clinicalfmamba-2d-paper": _fuser_2d(clinicalfmamba.CLINICALFMAMBA_2D_PAPER, (1, 256, 256)),
    "clinicalfmamba-2d-small": _fuser_2d(clinicalfmamba.CLINICALFMAMBA_2D_SMALL, (1, 64, 64)),
    "clinicalfmamba-2d-tiny": _fuser_2d(clinicalfmamba.CLINICALFMAMBA_2D_TINY, (1, 64, 32)),
    "clinicalfmamba-3d-paper": _fuser_3d(clinicalfmamba.CLINICALFMAMBA_3D_PAPER, (128, 128, 128)),
    "clinicalfmamba-3d-small": _fuser_3d(clinicalfmamba.CLINICALFMAMBA_3D_SMALL, (32, 32, 32)),
    "clinicalfmamba-3d-tiny": _fuser_3d(clinicalfmamba.CLINICALFMAMBA_3D_TINY, (16, 16, 16)),
    "ehr-survival-linear-small": _ehr(ehr.build_linear, ehr.LINEAR_SMALL),
    "ehr-survival-linear-tiny": _ehr(ehr.build_linear, ehr.LINEAR_TINY),
    "ehr-survival-mlp-small": _ehr(ehr.build_mlp, ehr.MLP_SMALL),
    "ehr-survival-mlp-tiny": _ehr(ehr.build_mlp, ehr.MLP_TINY),
}


def model_row(name: str) -> ModelRow:
    """The row of a model.

    Raises:
        ValueError: no model has this name; the message lists those that exist.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model '{name}'; known: {sorted(MODELS)}")
    return MODELS[name]


def build_model(
    row: ModelRow,
    options: Mapping[str, object],
    *,
    crop_zyx: Sequence[int],
    seed: int,
    outputs: int = 0,
    covariates: int = 0,
) -> FusionModel:
    """A freshly initialised model; the same seed gives the same weights.

    Args:
        outputs: of the case's head. covariates: length of the EHR vector. Both matter only to rows that have them.

    Raises:
        ValueError: unknown option, an option of another kind, or sizes that do not fit each other.
    """
    check_options(row.known_options, options, row.omissible)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return row.build(crop_zyx=crop_zyx, **{**row.options, **options}, **row.case_sizes(outputs, covariates))
