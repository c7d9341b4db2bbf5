"""Features of a case for routing: they see neither an adapter nor a center's own norms, so that prototypes never drift.

    features.ct   (d + 5,)  mean over windows of the frozen network's pooled last features of CT alone, then
                            five numbers of the CT
    features.pet  (5,)      five numbers alone: PET's embedding is learnt by the federation, hence not frozen
    five numbers            mean, standard deviation, and the quantiles 0.5, 0.9, 0.99 of the prepared volume

Nothing is projected or scaled here; that is the router's business.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.crops import apply_crop, shape_of, windows
from client.data.preprocessing import PreparedCase
from fusion_models.adapters.injection import adapter_layers
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.contract import FusionModel, NoFeaturesOfCtError
from protocol.errors import ModelError
from protocol.messages.tensors import NORM, ROLE_GROUPS, module_of, role_of

QUANTILES = (0.5, 0.9, 0.99)
FEATURES = {"ct": "features.ct", "pet": "features.pet"}

Arrays = dict[str, NDArray[np.float32]]


def features_of(model: nn.Module, case: PreparedCase, crop_zyx: Sequence[int]) -> Arrays:
    """One feature vector per modality that the case has: "features.ct" (d + 5,) and "features.pet" (5,).

    Raises:
        ModelError: the case has CT and the model has no features of CT alone.
    """
    found: Arrays = {}
    if case.ct is not None:
        try:
            pooled = _pool_features(model, case, crop_zyx)
        except NoFeaturesOfCtError as error:
            raise ModelError(str(error)) from error
        found[FEATURES["ct"]] = np.concatenate([pooled, _five_numbers(case.ct)]).astype(np.float32)
    if case.pet is not None:
        found[FEATURES["pet"]] = _five_numbers(case.pet).astype(np.float32)
    return found


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards in the mode it had."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def bare_backbone(model: nn.Module) -> Iterator[None]:
    """The model as it was before the federation: adapters off, own norms with the frozen values; undone afterwards."""
    layers = list(adapter_layers(model).values())
    parameters = parameters_by_key(model)
    wanted = {key: parameter.requires_grad for key, parameter in parameters.items()}
    own = {key: p.detach().clone() for key, p in parameters.items() if ROLE_GROUPS.get(role_of(key)) == NORM}
    try:
        for layer in layers:
            layer.enable_adapters(enabled=False)
        _fill(parameters, {key: parameters[_backbone_key(key)].detach().clone() for key in own})
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(enabled=True)
        _fill(parameters, own)
        for key, parameter in parameters.items():
            parameter.requires_grad = wanted[key]


@torch.no_grad()
def _pool_features(model: nn.Module, case: PreparedCase, crop_zyx: Sequence[int]) -> NDArray[np.float64]:
    """Mean over windows of the frozen network's pooled features of CT alone: (d,)."""
    network = cast("FusionModel", model)
    device = next(model.parameters()).device
    ct_alone = PreparedCase(case.name, case.ct)
    with evaluating(model), bare_backbone(model):
        crops = [apply_crop(ct_alone, crop).ct for crop in windows(shape_of(case), crop_zyx)]
        inputs = [torch.from_numpy(ct)[None, None].to(device) for ct in crops if ct is not None]
        pooled = [network.pool_features(ct)[0].double() for ct in inputs]
    return torch.stack(pooled).mean(0).cpu().numpy()


def _five_numbers(volume: NDArray[np.float32]) -> NDArray[np.float64]:
    values = volume.astype(np.float64)
    return np.array([values.mean(), values.std(), *np.quantile(values, QUANTILES)])


@torch.no_grad()
def _fill(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for key, value in values.items():
        parameters[key].copy_(value)


def _backbone_key(key: str) -> str:
    """The backbone's parameter that an own norm stands in for: `M#norm_weight` -> `M.weight`."""
    return f"{module_of(key)}.{role_of(key).removeprefix('norm_')}"
