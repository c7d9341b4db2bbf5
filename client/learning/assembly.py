"""A model from what travels: built from its table row, wrapped with adapters, filled with backbone and tensors."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusion_models.adapters.injection import (
    adapter_layers,
    inject,
    inject_beside,
    lay_out,
    load,
    lora_config,
    matching_targets,
    modules_matching,
    reset_magnitudes,
)
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.adapters.local_norm import inject_local_norms, reset_local_norms
from fusion_models.adapters.routing import insert_banks
from fusion_models.contract import FusionModel
from fusion_models.model_row import ModelRow
from fusion_models.outline import outline
from fusion_models.registry import build_model, model_row
from protocol.errors import ModelError
from protocol.messages.labels import Labels
from protocol.messages.settings import StudySettings
from protocol.messages.tensors import (
    CENTER,
    NORM,
    ROLE_GROUPS,
    Tensors,
    TensorSpec,
    group_of,
    is_statistic,
    module_of,
    role_of,
)
from protocol.modalities import parts_of
from protocol.tasks import TaskName

NOTHING: Tensors = MappingProxyType({})
# The center's A must not repeat the shared adapter's, which is drawn from the study's seed itself.
CENTER_SEED = 1
HEAD_OUTPUTS: Mapping[TaskName, Callable[[Labels], int]] = {
    "segmentation": lambda _: 0,
    "classification": lambda labels: len(labels.classes.values) if labels.classes else 0,
    "survival": lambda labels: len(labels.endpoints) * labels.survival.outputs,
    "fusion": lambda _: 0,
}
"""Task -> outputs of the case's head, by the study's labels: one a class, or those of one endpoint after another."""
MASK_CLASSES = 2
KNOWN_STUDIES = 8
MEMORY_FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}


def row_of(settings: StudySettings) -> ModelRow:
    """The table row of the study's model: looked up once where a command or an instruction comes in, then handed on.

    Raises:
        ModelError: the table has no such model, or the model cannot do what the study asks of it.
    """
    try:
        row = model_row(settings.model.name)
    except ValueError as error:
        raise ModelError(str(error)) from error
    _check_wishes(settings, row)
    return row


def _check_wishes(settings: StudySettings, row: ModelRow) -> None:
    """Refuse a study that asks of a model what it cannot do."""
    name = settings.model.name
    beyond = sorted(set(settings.tasks) - set(row.tasks))
    if beyond:
        raise ModelError(
            f"model '{name}' is for {sorted(row.tasks)}, the study trains for {beyond}; name another model"
        )
    for_cases = [task for task in settings.tasks if HEAD_OUTPUTS[task](settings.labels)]
    if len(for_cases) > 1:
        raise ModelError(f"a model has one head for cases, the study trains for {for_cases}; give each a study")
    if all("ehr" in parts_of(setting) for setting in row.settings) and not settings.labels.covariates:
        raise ModelError(f"model '{name}' reads EHR alone, and the study names no [labels.covariates.NAME]")
    if settings.adapter.routing == "modality" and not row.routed:
        raise ModelError(
            f"model '{name}' cannot route its adapters: CT and PET run through it as one stream, or one of them alone "
            'reaches an adapter; use [adapter] routing = "shared", or a model with modality pathways'
        )
    classes = settings.model.options.get("classes", MASK_CLASSES)
    if classes != MASK_CLASSES:
        raise ModelError(f"contours are 0 or 1, so option 'classes' of model '{name}' must be 2, found {classes!r}")


def assemble(
    settings: StudySettings, row: ModelRow, backbone: Tensors, tensors: Tensors, *, device: str = "cpu"
) -> FusionModel:
    """The network that `backbone` and `tensors` describe; statistics among them are not loaded.

    Adapters are injected when `tensors` holds any. What is personal to a center joins them when the study asks for it
    or `tensors` holds it; a residual only when `tensors` holds it. What has no tensors is fresh: DoRA's magnitudes are
    those of the frozen weights, local normalisations the backbone's, a center's own adapter the identity.

    Raises:
        ModelError: the model cannot be built as configured, or a tensor does not fit it.
    """
    loaded = {key: array for key, array in tensors.items() if not is_statistic(key)}
    adapted = any(role_of(key) for key in loaded)
    return _put_together(settings, row, backbone, loaded, adapted=adapted).to(device)


def assemble_fresh(settings: StudySettings, row: ModelRow, backbone: Tensors, *, device: str = "cpu") -> FusionModel:
    """The network on `backbone` before any training: adapters are the identity, pathways as the study draws them.

    Raises:
        ModelError: the model cannot be built as configured, or the backbone does not fit it.
    """
    return _put_together(settings, row, backbone, NOTHING, adapted=True).to(device)


def _put_together(
    settings: StudySettings, row: ModelRow, backbone: Tensors, loaded: Tensors, *, adapted: bool
) -> FusionModel:
    try:
        model = build(settings, row)
        if adapted:
            inject_adapter(model, settings, row, loaded)
        # DoRA's row norms are summed as the passes will sum them, or a fresh adapter is no identity to the bit.
        lay_out(model, MEMORY_FORMATS[row.spatial_dims])
        load(model, _torch(backbone))
        reset_magnitudes(model)
        reset_local_norms(model)
        load(model, _torch(loaded))
    except ValueError as error:
        raise ModelError(f"model '{settings.model.name}': {error}") from error
    return model


@lru_cache(maxsize=KNOWN_STUDIES)
def study_specs(settings_json: str) -> tuple[TensorSpec, ...]:
    """Every tensor that a study may exchange, from its settings as JSON; the model is built as an outline."""
    settings = StudySettings.model_validate_json(settings_json)
    row = row_of(settings)

    def adapted() -> nn.Module:
        model = build(settings, row)
        inject_adapter(model, settings, row)
        return model

    return tensor_specs(outline(adapted), row.pathways)


def tensor_specs(model: nn.Module, pathways: Mapping[str, Sequence[str]]) -> tuple[TensorSpec, ...]:
    """Every parameter's key, group and shape, in key order."""
    return tuple(
        TensorSpec(key, group_of(key, pathways), tuple(parameter.shape))
        for key, parameter in parameters_by_key(model).items()
    )


def build(settings: StudySettings, row: ModelRow) -> FusionModel:
    """The study's model, freshly initialised from its seed, without adapters."""
    return build_model(
        row,
        settings.model.options,
        crop_zyx=settings.preprocessing.crop_zyx,
        seed=settings.seed,
        outputs=sum(HEAD_OUTPUTS[task](settings.labels) for task in settings.tasks),
        covariates=settings.labels.covariate_width,
    )


def inject_adapter(model: nn.Module, settings: StudySettings, row: ModelRow, tensors: Tensors = NOTHING) -> None:
    """Wrap the study's adapter targets in place, and with them what is personal to a center and what `tensors` carries.

    A is drawn from the study's seed. A rank that `tensors` shows goes before the settings' `center_rank`. A model
    without adapter targets carries no adapter.

    Raises:
        ValueError: a target matches no module, or a tensor's module is no target.
    """
    adapter = settings.adapter
    targets = adapter.targets or matching_targets(model, row.adapter_targets, row.pathway_modules)
    if row.adapter_targets and not targets:
        raise ValueError(f"none of the adapter targets {row.adapter_targets} is a module of {type(model).__name__}")
    if adapter.routing == "modality":
        targets = tuple(insert_banks(model, modules_matching(model, targets, row.pathway_modules)))
    config = lora_config(method=adapter.method, rank=adapter.rank, alpha=adapter.alpha, targets=targets)
    inject(model, config, seed=settings.seed, spared=row.pathway_modules)
    fresh = dict.fromkeys(adapter_layers(model), settings.center_rank) if CENTER in settings.personal else {}
    inject_beside(model, "center", fresh | _ranks(tensors, "center"), seed=settings.seed + CENTER_SEED)
    inject_beside(model, "residual", _ranks(tensors, "residual"), seed=settings.seed)
    if NORM in settings.personal or any(ROLE_GROUPS.get(role_of(key)) == NORM for key in tensors):
        inject_local_norms(model, row.pathway_modules)


def arrays_of(parameters: Mapping[str, nn.Parameter]) -> dict[str, NDArray[np.float32]]:
    """Parameters as float32 arrays in C order, copies of their own."""
    return {
        key: np.array(parameter.detach().cpu().numpy(), dtype=np.float32, order="C")
        for key, parameter in parameters.items()
    }


def _ranks(tensors: Tensors, adapter: Literal["center", "residual"]) -> dict[str, int]:
    """Rank of an adapter per module: the rows of its A."""
    return {module_of(key): array.shape[0] for key, array in tensors.items() if role_of(key) == f"{adapter}_a"}


def _torch(tensors: Tensors) -> dict[str, Tensor]:
    return {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in tensors.items()}
