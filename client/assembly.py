"""A model from what travels: built from its table row, wrapped with adapters, filled with backbone and tensors."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fusion_models.adapters.injection import (
    group_of,
    inject,
    load,
    lora_config,
    parameters_by_key,
    reset_magnitudes,
)
from fusion_models.registry import build_model, model_row
from strategies.errors import ModelError
from strategies.settings import StudySettings
from strategies.tensors import Tensors, TensorSpec, role_of


def assemble(settings: StudySettings, backbone: Tensors, tensors: Tensors, *, device: str = "cpu") -> nn.Module:
    """The network that `backbone` and `tensors` describe.

    Adapters are injected when `tensors` holds any; a DoRA adapter without magnitudes is fresh and gets those of
    the frozen weights.

    Raises:
        ModelError: the model cannot be built as configured, or a tensor does not fit it.
    """
    try:
        model = build(settings)
        if any(role_of(key) for key in tensors):
            inject_adapter(model, settings)
        load(model, {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in backbone.items()})
        reset_magnitudes(model)
        load(model, {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in tensors.items()})
    except ValueError as error:
        raise ModelError(f"model '{settings.model.name}': {error}") from error
    return model.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


@cache
def ledger(settings_json: str) -> tuple[TensorSpec, ...]:
    """Every tensor that a study may exchange, from its settings as JSON; the model is built without memory."""
    settings = StudySettings.model_validate_json(settings_json)
    with torch.device("meta"):
        model = build(settings)
        inject_adapter(model, settings)
    return tensor_specs(model, settings.model.name)


def tensor_specs(model: nn.Module, model_name: str) -> tuple[TensorSpec, ...]:
    """The ledger of a model: every parameter's key, group and shape, in key order."""
    pathways = model_row(model_name).pathways
    return tuple(
        TensorSpec(key, group_of(key, pathways), tuple(parameter.shape))
        for key, parameter in parameters_by_key(model).items()
    )


def build(settings: StudySettings) -> nn.Module:
    """The study's model, freshly initialised from its seed, without adapters."""
    name, crop_zyx = settings.model.name, settings.preprocessing.crop_zyx
    return build_model(name, settings.model.options, crop_zyx=crop_zyx, seed=settings.seed)


def inject_adapter(model: nn.Module, settings: StudySettings) -> None:
    """Wrap the study's adapter targets in place; A is drawn from the study's seed."""
    adapter = settings.adapter
    targets = adapter.targets or model_row(settings.model.name).adapter_targets
    config = lora_config(method=adapter.method, rank=adapter.rank, alpha=adapter.alpha, targets=targets)
    inject(model, config, seed=settings.seed)


def arrays_of(parameters: Mapping[str, nn.Parameter]) -> dict[str, NDArray[np.float32]]:
    """Parameters as float32 arrays in C order, copies of their own."""
    return {
        key: np.array(parameter.detach().cpu().numpy(), dtype=np.float32, order="C")
        for key, parameter in parameters.items()
    }
