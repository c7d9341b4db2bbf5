"""What a center computes once about its training cases, for what the federation remembers and for the router.

    gram       G = X X^T / n per adapted module, X (k, n) its inputs          `M@gram` (q, k), rows R, R^T R ~ G
    fisher     F = 1/N sum_cases (grad of the case's loss)^2                  `key@fisher`, of the shared adapter
    prototype  mean and scatter of one feature vector a case                  `features.ct@mean` (p,), `@scatter` (p, p)

F squares the gradient of each case and then takes the mean, which the square of a batch's mean gradient is not (that
shrinks with the batch). Gram and Fisher look at the passes of the stage's task over each case: randomly placed crops,
without flips and changed intensities, each under every setting that case, model and task allow. A case that no setting
lets the network see has no pass; one without an image no prototype. Sums are in float64.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.cohort import EVERYBODY, Cohort
from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check, never_cancelled
from client.learning.features import FEATURES, evaluating, features_of
from client.learning.input_gram import InputGrams, sketch
from client.tasks.contract import Batch, CenterTask, runnable_settings, with_target
from fusion_models.adapters.injection import adapter_layers
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError, TooFewError
from protocol.messages.settings import ROLES, Statistic, StudySettings
from protocol.messages.tensors import NEEDS, group_in, role_of
from protocol.modalities import parts_of
from protocol.tasks import TASKS

Arrays = dict[str, NDArray[np.float32]]
Observed = tuple[Arrays, dict[str, int]]


def observe(
    model: nn.Module,
    cases: Sequence[PreparedCase],
    *,
    statistics: Sequence[Statistic],
    task: CenterTask,
    settings: StudySettings,
    model_settings: Sequence[str],
    rng: np.random.Generator,
    check: Check = never_cancelled,
    cohort: Cohort = EVERYBODY,
) -> Observed:
    """The statistics asked for, and per statistic the number of cases behind it.

    The counts are under "gram", "fisher", "features.ct" and "features.pet"; the last two where any case has the
    modality. The model comes back as it was: mode, gradients wanted, and values. `check` is called before each case.
    Cases enter as `cohort` has them: of those that a statistic can see, whole blocks.

    Raises:
        ModelError: no case, no adapted module, a module whose inputs cannot be observed, or no target for the Fisher.
    """
    if not cases:
        raise ModelError(f"no training case to observe; asked for {list(statistics)}")
    observer = Observer(model, tuple(cases), task, settings, tuple(model_settings), rng, check, cohort)
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
    """A network in evaluation mode, the cases it is shown, and the task by whose passes and loss they are seen.

    model_settings: modality settings that the model can run. check: called before each case.
    """

    model: nn.Module
    cases: tuple[PreparedCase, ...]
    task: CenterTask
    settings: StudySettings
    model_settings: tuple[str, ...]
    rng: np.random.Generator
    check: Check = never_cancelled
    cohort: Cohort = EVERYBODY

    def entering(self, cases: Sequence[PreparedCase]) -> list[PreparedCase]:
        """The cases of whole blocks that have a pass; all cases where each enters by itself.

        Raises:
            TooFewError: none is left.
        """
        if not self.cohort.is_of_blocks:
            return list(cases)
        seen = [case.name for case in cases if runnable_settings(self.task, case, self.model_settings)]
        kept = self.cohort.keep(seen)
        if not kept:
            raise TooFewError(
                f"none of {len(seen)} training case(s) is in a block of enough patients of its kind; nothing is "
                "observed until more have come"
            )
        return [case for case in cases if case.name in kept]

    def input_grams(self) -> Observed:
        """`M@gram` (q, k) of every module with a shared adapter: q = settings.sketch_rank, at most k."""
        layers = adapter_layers(self.model)
        if not layers:
            raise ModelError(f"{type(self.model).__name__} has no adapted module whose inputs could be remembered")
        grams = InputGrams(self.rng)
        hooks = [layer.register_forward_pre_hook(partial(grams.add, name)) for name, layer in layers.items()]
        cases = self.entering(self.cases)
        try:
            with torch.no_grad():
                for case in self._one_by_one(cases):
                    for batch in self.passes(case):
                        self.task.forward(self.model, batch)
        finally:
            for hook in hooks:
                hook.remove()
        sketches = {f"{name}@gram": sketch(gram, self.settings.sketch_rank) for name, gram in grams.means().items()}
        return sketches, {"gram": len(cases)}

    def diagonal_fisher(self) -> Observed:
        """`key@fisher` of the shared adapter: mean over cases with the target of the squared gradient of their loss.

        A bank that no case reaches has none: zeros would say that it may move freely.
        """
        parameters = {key: value for key, value in parameters_by_key(self.model).items() if role_of(key) in ROLES}
        labelled = with_target(self.task, self.cases)
        if not parameters or not labelled:
            raise ModelError(
                f"no Fisher without an adapter and a case with {TASKS[self.task.name].target}: "
                f"{len(parameters)} adapter tensors, {len(labelled)} case(s)"
            )
        labelled = self.entering(labelled)
        parameters = {key: value for key, value in parameters.items() if self._is_reached(key, labelled)}
        task = self.task.fitted_to(labelled)
        sums = {key: torch.zeros_like(value, dtype=torch.float64) for key, value in parameters.items()}
        with _requiring_gradients(self.model, parameters):
            for case in self._one_by_one(labelled):
                for key, gradient in self.case_gradient(parameters, task, case).items():
                    sums[key] += gradient.square()
        fisher = {f"{key}@fisher": (total / len(labelled)).float().cpu().numpy() for key, total in sums.items()}
        return fisher, {"fisher": len(labelled)}

    def case_gradient(
        self, parameters: Mapping[str, nn.Parameter], task: CenterTask, case: PreparedCase
    ) -> dict[str, Tensor]:
        """The gradient (float64) of a case's loss, the mean over its passes; 0 for what no pass uses."""
        drawn = self.passes(case)
        total = {key: torch.zeros_like(value, dtype=torch.float64) for key, value in parameters.items()}
        for batch in drawn:
            loss, _ = task.loss(self.model, batch)
            found = torch.autograd.grad(loss / len(drawn), list(parameters.values()), allow_unused=True)
            for key, gradient in zip(parameters, found, strict=True):
                if gradient is not None:
                    total[key] += gradient
        return total

    def passes(self, case: PreparedCase) -> list[Batch]:
        """What the task looks at of a case, under every setting that case, model and task allow."""
        able = runnable_settings(self.task, case, self.model_settings)
        return self.task.passes(case, able, next(self.model.parameters()).device, self.rng)

    def prototypes(self) -> Observed:
        """Mean (p,) and scatter sum (f - mean)(f - mean)^T (p, p) of the cases' features, for each modality they have.

        Windows cover the whole volume: nothing is drawn.
        """
        crop_zyx = self.settings.preprocessing.crop_zyx
        every = {case.name: features_of(self.model, case, crop_zyx) for case in self._one_by_one(self.cases)}
        found: Arrays = {}
        support: dict[str, int] = {}
        for name in FEATURES.values():
            kept = self.cohort.keep([case for case, features in every.items() if name in features])
            rows = [features[name].astype(np.float64) for case, features in every.items() if case in kept]
            if rows:
                mean = np.mean(rows, axis=0)
                away = np.stack(rows) - mean
                found[f"{name}@mean"] = mean.astype(np.float32)
                found[f"{name}@scatter"] = (away.T @ away).astype(np.float32)
                support[name] = len(rows)
        return found, support

    def _is_reached(self, key: str, cases: Sequence[PreparedCase]) -> bool:
        """Whether any case has all that the bank of an adapter tensor needs; without banks each reaches it."""
        needed = NEEDS.get(group_in(key, {}), frozenset())
        able = (runnable_settings(self.task, case, self.model_settings) for case in cases)
        return not needed or any(needed <= parts_of(setting) for settings in able for setting in settings)

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
