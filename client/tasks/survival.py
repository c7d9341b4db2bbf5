"""Survival: when an event comes, for each of the study's endpoints, by a risk and, where the head knows time, a curve.

    loss        of the study's head (`fusion_models.survival.heads`) over all known endpoints of a batch; with a share g
                of segmentation, (1 - g) L_survival + g L_segmentation where the network also segments and each case
                of the batch has a contour
    prediction  risk and survival at the study's edges, of the mean output over the windows that cover a case

A batch holds different cases, all of the center's where `batch_size` is as large: the partial likelihood compares cases
with each other, so one case twice would only be compared with itself.

Concordance and the others are figures of a cohort; what a row holds to compute them (time, event, risk, curve) stays at
the center. Two networks are compared by concordance over the pairs of all endpoints.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.batches import plain_crops, show_crops
from client.tasks.cohorts import Floats, compare_cohorts, predict_case
from client.tasks.contract import Batch, CaseScore
from client.tasks.divergence import TEMPERATURE
from client.tasks.survival_cohorts import (
    EVENT,
    cohort_figures,
    concordance_of_draws,
    events_behind,
    read_endpoint,
    values_of,
    without_endpoints,
)
from fusion_models.contract import Assessor, Segmenter
from fusion_models.full_precision import widen
from fusion_models.losses import SEGMENTATION_LOSSES, deeply_supervised
from fusion_models.registry import model_row
from fusion_models.survival.heads import HEADS
from protocol.errors import LabelError, ModelError
from protocol.messages.recipe import PLAIN, Recipe
from protocol.messages.scores import Comparison, Score
from protocol.messages.settings import StudySettings
from protocol.tasks import TASKS, TaskName


class Survival:
    """The task for a study's endpoints; of a recipe it takes how crops vary and the loss of contours beside."""

    name: Final[TaskName] = "survival"

    def __init__(self, settings: StudySettings, recipe: Recipe = PLAIN) -> None:
        self._mask_loss, self._augmentation = SEGMENTATION_LOSSES[recipe.loss], recipe.augmentation
        self._settings, self._crop_zyx = settings, settings.preprocessing.crop_zyx
        self._endpoints = tuple(settings.labels.endpoints)
        self._survival = settings.labels.survival
        self._head = HEADS[self._survival.head]
        self._edges_days = self._survival.edges_days if self._survival.head == "mtlr" else ()
        self._mask_share = mask_share(settings)

    def has_target(self, case: PreparedCase) -> bool:
        """Whether time and event of some endpoint are known."""
        return self.name in case.targets and bool((~np.isnan(case.targets[self.name]).any(axis=1)).any())

    def runs(self, _setting: str) -> bool:
        """Every setting may tell a risk."""
        return True

    def fitted_to(self, cases: Sequence[PreparedCase]) -> "Survival":
        """The task itself.

        Raises:
            LabelError: no training case has an event.
        """
        times = [case.targets[self.name] for case in cases if self.has_target(case)]
        if times and not np.nansum([of_case[:, 1] for of_case in times]):
            raise LabelError(
                f"{len(times)} training cases, all censored at every endpoint of {list(self._endpoints)}; draw another "
                "split, add cases, or leave this center out of the study's training"
            )
        return self

    def draw_batch(
        self, cases: Sequence[PreparedCase], setting: str, size: int, device: torch.device, rng: np.random.Generator
    ) -> Batch:
        """Random crops of `size` different cases, of all where there are no more."""
        drawn = rng.permutation(len(cases))[:size]
        chosen = [cases[int(place)] for place in drawn]
        return show_crops(chosen, setting, self._settings.preprocessing, device, rng, self._augmentation)

    def passes(
        self, case: PreparedCase, settings: Sequence[str], device: torch.device, rng: np.random.Generator
    ) -> list[Batch]:
        """Crops that keep their sides and intensities, each under every setting."""
        return plain_crops(case, settings, self._crop_zyx, device, rng)

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """The head's outputs (b, outputs)."""
        return _assessor(model).assess(batch.ct, batch.pet, batch.ehr)

    def answer(self, model: nn.Module, batch: Batch) -> Tensor:
        """As `forward`."""
        return self.forward(model, batch)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The head's loss, with the study's share of segmentation where there is a mask, and the outputs.

        Raises:
            ModelError: a case has no time.
        """
        if self.name not in batch.targets:
            raise ModelError(f"not each of the cases {list(batch.cases)} has {TASKS[self.name].target}")
        network, share = _assessor(model), self._mask_share
        features = network.encode(batch.ct, batch.pet, batch.ehr)
        outputs = widen(network.answer(features))
        edges = outputs.new_tensor(self._edges_days)
        loss = self._head.loss(outputs, batch.targets[self.name], edges)
        mask = batch.targets.get("segmentation")
        sees_images = batch.ct is not None or batch.pet is not None
        if not share or mask is None or not sees_images:
            return loss, outputs
        logits = cast("Segmenter", network).decode(features)
        return (1 - share) * loss + share * deeply_supervised([logits], mask, self._mask_loss), outputs

    def divergence(self, taught: Tensor, answer: Tensor) -> Tensor | None:
        """T^2 KL of the heads' distributions: over time bins, or over which case of the batch is next."""
        endpoints = len(self._endpoints)
        teacher, student = (
            (self._head.logits(outputs, endpoints) / TEMPERATURE).log_softmax(-1) for outputs in (taught, answer)
        )
        return TEMPERATURE**2 * (teacher.exp() * (teacher - student)).sum(-1).mean()

    def predict(self, model: nn.Module, case: PreparedCase, setting: str) -> NDArray[np.float32]:
        """Risk, and survival at the study's edges, of each endpoint: (endpoints, 1 + edges)."""
        outputs = torch.from_numpy(predict_case(self.forward, model, case, setting, self._crop_zyx))[None]
        risk, curve = (of(outputs, len(self._endpoints))[0] for of in (self._head.risk, self._head.curve))
        return torch.cat([risk[:, None], curve], dim=1).numpy()

    def examine(self, model: nn.Module, case: PreparedCase, setting: str) -> tuple[NDArray[np.float32], None]:
        """The prediction: it has no voxels to be sure of."""
        return self.predict(model, case, setting), None

    def score(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> CaseScore:
        """Time, event, risk and curve of each endpoint."""
        return CaseScore(case.name, setting, values_of(self._endpoints, case.targets[self.name], prediction))

    def outcomes(self, row: CaseScore) -> frozenset[str]:
        """The endpoints whose event came."""
        return frozenset(name for name in self._endpoints if row.values[f"{EVENT}/{name}"])

    def conceal(self, row: CaseScore, outcomes: Collection[str]) -> CaseScore:
        """The row without what came at these endpoints: pairs of one event would say when it came."""
        return replace(row, values=without_endpoints(row.values, outcomes))

    def summarise(self, rows: Sequence[CaseScore]) -> Score:
        """The figures of the cohort, of each endpoint and over all."""
        cohorts = {name: read_endpoint(rows, name, len(self._edges_days)) for name in self._endpoints}
        values, undefined = cohort_figures(cohorts, self._edges_days, window_days(self._settings))
        return Score(len(rows), values, undefined, events_behind(values))

    def compare(
        self, new: Mapping[str, CaseScore], old: Mapping[str, CaseScore], rng: np.random.Generator
    ) -> Comparison:
        """The difference of both networks' concordance over the pairs of all endpoints."""
        return compare_cohorts(new, old, self._primary, self.summarise, rng)

    def record(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Risks (n,), curves (n, k) at the edges, what came (n, 2), the endpoints' names and the study's horizon."""
        nothing = np.full((len(self._endpoints), 2), np.nan, dtype=np.float32)
        return {
            "risk": prediction[:, 0],
            "survival": prediction[:, 1:],
            "edges_days": np.asarray(self._edges_days),
            "horizon_days": np.asarray(horizon_days(self._settings)),
            "times": case.targets.get(self.name, nothing),
            "endpoints": np.asarray(self._endpoints),
            "modalities": np.asarray(setting),
        }

    def _primary(self, rows: Sequence[CaseScore], weights: Floats) -> Floats:
        cohorts = [read_endpoint(rows, name, len(self._edges_days)) for name in self._endpoints]
        return concordance_of_draws(cohorts, weights)


def build(settings: StudySettings, recipe: Recipe = PLAIN) -> Survival:
    """The task as a study asks for it.

    Raises:
        LabelError: the study describes no endpoint, or a head of time bins without edges.
    """
    if not settings.labels.endpoints:
        raise LabelError("the study describes no endpoint; add [labels.endpoints.NAME] with its event, time and unit")
    survival = settings.labels.survival
    if survival.head == "mtlr" and not survival.edges_days:
        raise LabelError("head 'mtlr' needs time bins; give their edges in [labels.survival] edges_days")
    return Survival(settings, recipe)


def mask_share(settings: StudySettings) -> float:
    """g, the study's share of segmentation in the loss; 0 where its model draws no mask."""
    share = settings.labels.survival.joint_share
    return share if share and model_row(settings.model.name).is_for(Segmenter) else 0.0


def horizon_days(settings: StudySettings) -> float:
    """Where calibration is judged: the study's own time, else its middle edge; NaN where it has neither."""
    survival = settings.labels.survival
    edges = survival.edges_days
    middle = edges[len(edges) // 2] if edges else float("nan")
    return survival.horizon_days or middle


def _assessor(model: nn.Module) -> Assessor:
    """A network whose row in the table of models names the task is one."""
    return cast("Assessor", model)


def window_days(settings: StudySettings) -> float:
    """Until when the Brier score is integrated: the study's horizon, at most its last edge; NaN without edges."""
    survival = settings.labels.survival
    last = survival.edges_days[-1] if survival.edges_days else float("nan")
    return min(survival.horizon_days or last, last)
