"""What a center computes once about its training cases, for what the federation remembers and for the router.

    gram       G = X X^T / n per adapted module, X (k, n) its inputs          `M@gram` (q, k), rows R, R^T R ~ G
    fisher     F = 1/N sum_cases (grad of the case's loss)^2                  `key@fisher`, of the shared adapter
    prototype  mean and scatter of one feature vector a case                  `features.ct@mean` (p,), `@scatter` (p, p)

F squares the gradient of each case and then takes the mean, which the square of a batch's mean gradient is not (that
shrinks with the batch). Gram and Fisher look at CROPS_PER_CASE randomly placed crops of each case, without flips and
changed intensities, each under every setting that case and model allow. Sums are in float64.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.crops import Crop, apply_crop, draw_crop
from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check, never_cancelled
from client.learning.features import FEATURES, evaluating, features_of
from client.learning.input_gram import InputGrams, sketch
from client.learning.training import shape_of
from fusion_models.adapters.injection import adapter_layers
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.losses import deeply_supervised, every_scale
from fusion_models.modality import restrict, runnable_settings
from protocol.errors import ModelError
from protocol.messages.settings import ROLES, Statistic, StudySettings
from protocol.messages.tensors import role_of

CROPS_PER_CASE = 4

Arrays = dict[str, NDArray[np.float32]]
Observed = tuple[Arrays, dict[str, int]]
Pass = tuple[Tensor | None, Tensor | None, Tensor | None]


def observe(
    model: nn.Module,
    cases: Sequence[PreparedCase],
    *,
    statistics: Sequence[Statistic],
    settings: StudySettings,
    model_settings: Sequence[str],
    rng: np.random.Generator,
    check: Check = never_cancelled,
) -> Observed:
    """The statistics asked for, and per statistic the number of cases behind it.

    The counts are under "gram", "fisher", "features.ct" and "features.pet"; the last two where any case has the
    modality. The model comes back as it was: mode, gradients wanted, and values. `check` is called before each case.

    Raises:
        ModelError: no case, no adapted module, a module whose inputs cannot be observed, or no contour for the Fisher.
    """
    if not cases:
        raise ModelError(f"no training case to observe; asked for {list(statistics)}")
    observer = Observer(model, tuple(cases), settings, tuple(model_settings), rng, check)
    measures = {"gram": observer.input_grams, "fisher": observer.diagonal_fisher, "prototype": observer.prototypes}
    found: Arrays = {}
    support: dict[str, int] = {}
    with evaluating(model):
        for name in statistics:
            arrays, counts = measures[name]()
            found |= arrays
            support |= counts
    return found, support


@dataclass(frozen=True)
class Observer:
    """A network in evaluation mode and the cases it is shown.

    model_settings: modality settings that the model can run. check: called before each case.
    """

    model: nn.Module
    cases: tuple[PreparedCase, ...]
    settings: StudySettings
    model_settings: tuple[str, ...]
    rng: np.random.Generator
    check: Check = never_cancelled

    def input_grams(self) -> Observed:
        """`M@gram` (q, k) of every module with a shared adapter: q = settings.sketch_rank, at most k."""
        layers = adapter_layers(self.model)
        if not layers:
            raise ModelError(f"{type(self.model).__name__} has no adapted module whose inputs could be remembered")
        grams = InputGrams(self.rng)
        hooks = [layer.register_forward_pre_hook(partial(grams.add, name)) for name, layer in layers.items()]
        try:
            with torch.no_grad():
                for case in self._one_by_one(self.cases):
                    for ct, pet, _ in self.passes(case):
                        self.model(ct, pet)
        finally:
            for hook in hooks:
                hook.remove()
        sketches = {f"{name}@gram": sketch(gram, self.settings.sketch_rank) for name, gram in grams.means().items()}
        return sketches, {"gram": len(self.cases)}

    def diagonal_fisher(self) -> Observed:
        """`key@fisher` of the shared adapter: mean over cases with a contour of the squared gradient of their loss."""
        parameters = {key: value for key, value in parameters_by_key(self.model).items() if role_of(key) in ROLES}
        labelled = [case for case in self.cases if case.gtv is not None]
        if not parameters or not labelled:
            raise ModelError(
                f"no Fisher without an adapter and a contour: {len(parameters)} adapter tensors, "
                f"{len(labelled)} contours"
            )
        sums = {key: torch.zeros_like(value, dtype=torch.float64) for key, value in parameters.items()}
        with _requiring_gradients(self.model, parameters):
            for case in self._one_by_one(labelled):
                for key, gradient in self.case_gradient(parameters, case).items():
                    sums[key] += gradient.square()
        fisher = {f"{key}@fisher": (total / len(labelled)).float().cpu().numpy() for key, total in sums.items()}
        return fisher, {"fisher": len(labelled)}

    def case_gradient(self, parameters: Mapping[str, nn.Parameter], case: PreparedCase) -> dict[str, Tensor]:
        """The gradient (float64) of a case's loss, the mean over its passes; 0 for what no pass uses."""
        drawn = self.passes(case)
        total = {key: torch.zeros_like(value, dtype=torch.float64) for key, value in parameters.items()}
        for ct, pet, label in drawn:
            if label is None:
                raise ModelError(f"training case '{case.name}' has no contour")
            loss = deeply_supervised(every_scale(self.model, ct, pet), label)
            found = torch.autograd.grad(loss / len(drawn), list(parameters.values()), allow_unused=True)
            for key, gradient in zip(parameters, found, strict=True):
                if gradient is not None:
                    total[key] += gradient
        return total

    def passes(self, case: PreparedCase) -> list[Pass]:
        """CT, PET and label of each pass over a case: CROPS_PER_CASE crops, each under every runnable setting."""
        able = runnable_settings(case.modalities, self.model_settings)
        crop_zyx = self.settings.preprocessing.crop_zyx
        crops = [_plain_crop(shape_of(case), crop_zyx, self.rng) for _ in range(CROPS_PER_CASE)]
        device = next(self.model.parameters()).device
        drawn = [_tensors(apply_crop(case, crop), device) for crop in crops]
        return [(*restrict(setting, ct, pet)[:2], label) for ct, pet, label in drawn for setting in able]

    def prototypes(self) -> Observed:
        """Mean (p,) and scatter sum (f - mean)(f - mean)^T (p, p) of the cases' features, for each modality they have.

        Windows cover the whole volume: nothing is drawn.
        """
        crop_zyx = self.settings.preprocessing.crop_zyx
        every = [features_of(self.model, case, crop_zyx) for case in self._one_by_one(self.cases)]
        found: Arrays = {}
        support: dict[str, int] = {}
        for name in FEATURES.values():
            rows = [features[name].astype(np.float64) for features in every if name in features]
            if rows:
                mean = np.mean(rows, axis=0)
                away = np.stack(rows) - mean
                found[f"{name}@mean"] = mean.astype(np.float32)
                found[f"{name}@scatter"] = (away.T @ away).astype(np.float32)
                support[name] = len(rows)
        return found, support

    def _one_by_one(self, cases: Sequence[PreparedCase]) -> Iterator[PreparedCase]:
        """The cases, each after a check."""
        for case in cases:
            self.check()
            yield case


@contextmanager
def _requiring_gradients(model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Gradients for `parameters` alone; afterwards as it was."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(requires_grad=False)
    try:
        for parameter in parameters.values():
            parameter.requires_grad = True
        yield
    finally:
        for parameter, wanted in before:
            parameter.requires_grad = wanted


def _plain_crop(shape_zyx: Sequence[int], size_zyx: Sequence[int], rng: np.random.Generator) -> Crop:
    return replace(draw_crop(shape_zyx, size_zyx, rng), flipped=(), ct_scale=1.0, ct_shift=0.0, pet_scale=1.0)


def _tensors(case: PreparedCase, device: torch.device) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """CT, PET and contour as batches of one: (1, 1, z, y, x)."""
    arrays = (case.ct, case.pet, case.gtv)
    ct, pet, label = (
        None if array is None else torch.from_numpy(array.astype(np.float32))[None, None].to(device) for array in arrays
    )
    return ct, pet, label
