"""Classification: one of the study's classes for a whole case.

    loss        classes / b * sum_i w[y_i] (-log p_i[y_i])          b cases of a batch, p = softmax of the answer
    w           the study's weights, or the inverse of how often a center's training cases have each class; of sum 1
    prediction  softmax of the mean answer over the windows that cover a case
    answer      the class of the highest probability

The frequencies are a center's own, so that a center with few cases of a class learns as much from each of its classes;
none of them leaves it. A class that no training case has weighs nothing. The weights are not divided out of the mean
over a batch: in a batch of one case, as published, they would cancel.

AUC and the others are figures of a cohort (`strategies.evaluation.classification_metrics`); what a row holds to compute
them, the class and the probabilities of a case, stays at the center.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.batches import draw_crops, plain_crops
from client.tasks.cohorts import Floats, compare_cohorts, predict_case
from client.tasks.contract import Batch, CaseScore
from client.tasks.divergence import TEMPERATURE, divergence
from fusion_models.contract import Assessor
from fusion_models.full_precision import widen
from protocol.errors import LabelError, ModelError
from protocol.messages.labels import Classes
from protocol.messages.recipe import PLAIN, UNVARIED, Augmentation, Recipe
from protocol.messages.scores import Comparison, Score
from protocol.messages.settings import StudySettings
from protocol.tasks import TASKS, TaskName, metric_named
from strategies.evaluation.classification_metrics import METRICS, Truth, cohort_figures

CLASS, PROBABILITY = "class", "probability"
CONCEALED = "concealed"
"""Of a row by which no figure may tell classes apart."""


class Classification:
    """The task for a study's classes.

    Args:
        settings: of the study, which describe its classes.
        weights: w, one a class, summing to 1.
        augmentation: how training crops are varied.
    """

    name: Final[TaskName] = "classification"

    def __init__(self, settings: StudySettings, weights: Floats, augmentation: Augmentation = UNVARIED) -> None:
        self._settings, self._weights = settings, weights
        self._crop_zyx, self._augmentation = settings.preprocessing.crop_zyx, augmentation

    @property
    def weights(self) -> Floats:
        """w, one a class."""
        return self._weights

    def has_target(self, case: PreparedCase) -> bool:
        """Whether the class of the case is known."""
        return self.name in case.targets

    def runs(self, _setting: str) -> bool:
        """Every setting may tell a class."""
        return True

    def fitted_to(self, cases: Sequence[PreparedCase]) -> "Classification":
        """The task with the weights of the training cases' classes, unless the study gives its own.

        Raises:
            LabelError: all cases are of one class.
        """
        classes = classes_of(self._settings)
        if classes.weights:
            return self
        counts = np.bincount(self._truth(cases), minlength=len(classes.values))
        if np.count_nonzero(counts) < 2:
            found = ", ".join(f"{n} of '{value}'" for n, value in zip(counts, classes.values, strict=True))
            raise LabelError(
                f"column '{classes.column}': the training cases must be of at least two classes, found {found}; "
                "draw another split, add cases, or leave this center out of the study's training"
            )
        return Classification(self._settings, inverse_frequencies(counts), self._augmentation)

    def draw_batch(
        self, cases: Sequence[PreparedCase], setting: str, size: int, device: torch.device, rng: np.random.Generator
    ) -> Batch:
        """`size` random crops of randomly drawn cases."""
        return draw_crops(cases, setting, size, self._settings.preprocessing, device, rng, self._augmentation)

    def passes(
        self, case: PreparedCase, settings: Sequence[str], device: torch.device, rng: np.random.Generator
    ) -> list[Batch]:
        """Crops that keep their sides and intensities, each under every setting."""
        return plain_crops(case, settings, self._crop_zyx, device, rng)

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits (b, classes)."""
        return _assessor(model).assess(batch.ct, batch.pet, batch.ehr)

    def answer(self, model: nn.Module, batch: Batch) -> Tensor:
        """As `forward`."""
        return self.forward(model, batch)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Weighted cross-entropy, 1 for two classes of weight 1/2 and an undecided answer in bits; and the logits.

        Raises:
            ModelError: a case has no class.
        """
        if self.name not in batch.targets:
            raise ModelError(f"not each of the cases {list(batch.cases)} has {TASKS[self.name].target}")
        logits = widen(self.answer(model, batch))
        weights = torch.as_tensor(self._weights, dtype=logits.dtype, device=logits.device)
        truth = batch.targets[self.name].long()
        return len(weights) * F.cross_entropy(logits, truth, weights, reduction="sum") / len(truth), logits

    def divergence(self, taught: Tensor, answer: Tensor) -> Tensor | None:
        """The mean over the cases of the batch."""
        return TEMPERATURE**2 * divergence(taught, answer).mean()

    def predict(self, model: nn.Module, case: PreparedCase, setting: str) -> NDArray[np.float32]:
        """The probability of each class (classes,)."""
        mean = predict_case(self.forward, model, case, setting, self._crop_zyx)
        return np.asarray(softmax(mean.astype(np.float64)), dtype=np.float32)

    def examine(self, model: nn.Module, case: PreparedCase, setting: str) -> tuple[NDArray[np.float32], None]:
        """The prediction: it has no voxels to be sure of."""
        return self.predict(model, case, setting), None

    def score(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> CaseScore:
        """The class and the probability of each class."""
        values = {f"{PROBABILITY}/{k}": float(value) for k, value in enumerate(prediction)}
        return CaseScore(case.name, setting, {CLASS: float(case.targets[self.name]), **values})

    def outcomes(self, row: CaseScore) -> frozenset[str]:
        """The class of the case."""
        return frozenset({f"{CLASS}/{row.values[CLASS]}"})

    def conceal(self, row: CaseScore, _outcomes: Collection[str]) -> CaseScore:
        """The row, for accuracy and majority rate alone: of two classes either tells of the other."""
        return replace(row, values={**row.values, CONCEALED: 1.0})

    def summarise(self, rows: Sequence[CaseScore]) -> Score:
        """The figures of the cohort; one that it does not define stands on no case.

        The rarer outcome is the smallest class that is there.
        """
        shown = [row for row in rows if CONCEALED not in row.values]
        figures, apart = (cohort_figures(*cohort_of(some, len(self._weights))) for some in (rows, shown))
        figures |= {name: apart[name] for name in figures if metric_named(name).minimum_of_outcome}
        rarest = min(Counter(row.values[CLASS] for row in shown).values(), default=0)
        missing = {name: len(rows) - len(shown) if metric_named(name).minimum_of_outcome else 0 for name in figures}
        undefined = {name: len(rows) if figures[name] is None else count for name, count in missing.items()}
        counted = {name: count for name, count in undefined.items() if count}
        return Score(len(rows), figures, counted, dict.fromkeys(figures, rarest))

    def compare(
        self, new: Mapping[str, CaseScore], old: Mapping[str, CaseScore], rng: np.random.Generator
    ) -> Comparison:
        """The difference of both networks' AUC, over the cases that it may stand on."""
        of_new, of_old = (
            {name: row for name, row in rows.items() if CONCEALED not in row.values} for rows in (new, old)
        )
        return compare_cohorts(of_new, of_old, self._primary, self.summarise, rng)

    def record(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Images as the network sees them, the class, and of each class its probability and what it is called."""
        images = {name: image for name in ("ct", "pet") if (image := getattr(case, name)) is not None}
        truth = {CLASS: case.targets[self.name]} if self.has_target(case) else {}
        facts = {
            "spacing_zyx_mm": np.asarray(self._settings.preprocessing.spacing_zyx_mm),
            "modalities": np.asarray(setting),
            "values": np.asarray(classes_of(self._settings).values),
        }
        return {PROBABILITY: prediction, **images, **truth, **facts}

    def _primary(self, rows: Sequence[CaseScore], weights: Floats) -> Floats:
        return METRICS[TASKS[self.name].primary](*cohort_of(rows, len(self._weights)), weights)

    def _truth(self, cases: Sequence[PreparedCase]) -> Truth:
        return np.array([int(case.targets[self.name]) for case in cases if self.has_target(case)], dtype=np.int64)


def build(settings: StudySettings, recipe: Recipe = PLAIN) -> Classification:
    """The task as a study asks for it: with its weights of the classes, or equal ones until it is fitted to cases."""
    classes = classes_of(settings)
    weights = np.asarray(classes.weights or np.ones(len(classes.values)), dtype=np.float64)
    return Classification(settings, weights / weights.sum(), recipe.augmentation)


def classes_of(settings: StudySettings) -> Classes:
    """The study's classes.

    Raises:
        LabelError: it describes none.
    """
    if settings.labels.classes is None:
        raise LabelError("the study describes no classes; add [labels.classes] with the column of the class")
    return settings.labels.classes


def inverse_frequencies(counts: NDArray[np.int64]) -> Floats:
    """w[k] = (1 / n_k) / sum_j (1 / n_j); 0 where n_k is 0. 543 and 171 cases weigh 0.24 and 0.76."""
    inverse = np.divide(1.0, counts, out=np.zeros(counts.size), where=counts > 0)
    return np.asarray(inverse / inverse.sum())


def _assessor(model: nn.Module) -> Assessor:
    """A network whose row in the table of models names the task is one."""
    return cast("Assessor", model)


def cohort_of(rows: Sequence[CaseScore], classes: int) -> tuple[Truth, Floats]:
    """Class (n,) and probabilities (n, classes) of scored cases."""
    truth = np.array([row.values[CLASS] for row in rows], dtype=np.int64)
    of_cases = [[row.values[f"{PROBABILITY}/{k}"] for k in range(classes)] for row in rows]
    return truth, np.array(of_cases, dtype=np.float64).reshape(len(rows), classes)
