"""A model from what travels: built from its table row, wrapped with adapters, filled with backbone and tensors."""

from collections.abc import Mapping, Sequence
from functools import cache
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
    load,
    lora_config,
    matching_targets,
    reset_magnitudes,
)
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.adapters.local_norm import inject_local_norms, reset_local_norms
from fusion_models.registry import ModelRow, build_model, model_row
from protocol.errors import ModelError
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

NOTHING: Tensors = MappingProxyType({})
# The center's A must not repeat the shared adapter's, which is drawn from the study's seed itself.
CENTER_SEED = 1
MEMORY_FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}


def row_of(settings: StudySettings) -> ModelRow:
    """The table row of the study's model: looked up once where a command or an instruction comes in, then handed on.

    Raises:
        ModelError: the table has no such model.
    """
    try:
        return model_row(settings.model.name)
    except ValueError as error:
        raise ModelError(str(error)) from error


def assemble(
    settings: StudySettings, row: ModelRow, backbone: Tensors, tensors: Tensors, *, device: str = "cpu"
) -> nn.Module:
    """The network that `backbone` and `tensors` describe; statistics among them are not loaded.

    Adapters are injected when `tensors` holds any. What is personal to a center joins them when the study asks for it
    or `tensors` holds it; a residual only when `tensors` holds it. What has no tensors is fresh: DoRA's magnitudes are
    those of the frozen weights, local normalisations the backbone's, a center's own adapter the identity.

    Raises:
        ModelError: the model cannot be built as configured, or a tensor does not fit it.
    """
    loaded = {key: array for key, array in tensors.items() if not is_statistic(key)}
    try:
        model = build(settings, row)
        if any(role_of(key) for key in loaded):
            inject_adapter(model, settings, row, loaded)
        load(model, _torch(backbone))
        reset_magnitudes(model)
        reset_local_norms(model)
        load(model, _torch(loaded))
    except ValueError as error:
        raise ModelError(f"model '{settings.model.name}': {error}") from error
    return model.to(device).to(memory_format=MEMORY_FORMATS[row.spatial_dims])  # type: ignore[call-overload]


@cache
def study_specs(settings_json: str) -> tuple[TensorSpec, ...]:
    """Every tensor that a study may exchange, from its settings as JSON; the model is built without memory."""
    settings = StudySettings.model_validate_json(settings_json)
    row = row_of(settings)
    with torch.device("meta"):
        model = build(settings, row)
        inject_adapter(model, settings, row)
    return tensor_specs(model, row.pathways)


def tensor_specs(model: nn.Module, pathways: Mapping[str, Sequence[str]]) -> tuple[TensorSpec, ...]:
    """Every parameter's key, group and shape, in key order."""
    return tuple(
        TensorSpec(key, group_of(key, pathways), tuple(parameter.shape))
        for key, parameter in parameters_by_key(model).items()
    )


def build(settings: StudySettings, row: ModelRow) -> nn.Module:
    """The study's model, freshly initialised from its seed, without adapters."""
    return build_model(row, settings.model.options, crop_zyx=settings.preprocessing.crop_zyx, seed=settings.seed)


def inject_adapter(model: nn.Module, settings: StudySettings, row: ModelRow, tensors: Tensors = NOTHING) -> None:
    """Wrap the study's adapter targets in place, and with them what is personal to a center and what `tensors` carries.

    A is drawn from the study's seed. A rank that `tensors` shows goes before the settings' `center_rank`.

    Raises:
        ValueError: a target matches no module, or a tensor's module is no target.
    """
    adapter = settings.adapter
    targets = adapter.targets or matching_targets(model, row.adapter_targets, row.pathway_modules)
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
