"""What a task knows at a center, and nobody else does: target, batch, loss, prediction, score, summary, comparison.

    task = build_task(name, settings, recipe).fitted_to(cases)   once a round
    batch = task.draw_batch(cases, setting, size, device, rng)
    loss, answer = task.loss(model, batch)                    each step
    task.divergence(task.answer(teacher, batch), answer)      what distillation adds

    prediction = task.predict(model, case, setting)           each case, once; with the target also
    prediction, sure = task.examine(model, case, setting)
    row = task.score(case, setting, prediction)
    task.summarise(rows), task.compare(new, old, rng)         what may leave
    task.record(case, setting, prediction)                    what stays for the center's own pages

A case is asked about only where `has_target` and, for its setting, `runs` say so.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.margins import Margins
from protocol.messages.scores import Comparison, Score
from protocol.modalities import ModalitySetting, settings_within
from protocol.tasks import TaskName


@dataclass(frozen=True)
class Batch:
    """What one step or pass sees under one modality setting; what the setting leaves out, or the cases lack, is None.

    cases: their names. ct, pet: (b, 1, z, y, x). ehr: encoded covariates (b, width). targets: by task, those that every
    case has: masks (b, 1, z, y, x), classes (b,), times and events (b, endpoints, 2); all float32.
    """

    cases: tuple[str, ...]
    setting: str
    ct: Tensor | None = None
    pet: Tensor | None = None
    ehr: Tensor | None = None
    targets: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseScore:
    """One case under one modality setting: figures by name; None where undefined.

    The figures of a task whose metrics are of cases are these metrics; of one whose metrics are of cohorts what they
    are computed from. All stay at the center.
    """

    case: str
    modalities: str
    values: Mapping[str, float | None]


class CenterTask(Protocol):
    """One task, for one study, at one center."""

    @property
    def name(self) -> TaskName:
        """Its row in the table of tasks."""
        ...

    def has_target(self, case: PreparedCase) -> bool:
        """Whether a case can train and be scored."""
        ...

    def runs(self, setting: str) -> bool:
        """Whether the task can be answered from a modality setting, as far as the task is concerned."""
        ...

    def fitted_to(self, cases: Sequence[PreparedCase]) -> "CenterTask":
        """The task with what its loss takes from a center's training cases, such as how frequent classes are."""
        ...

    def draw_batch(
        self, cases: Sequence[PreparedCase], setting: str, size: int, device: torch.device, rng: np.random.Generator
    ) -> Batch:
        """What a training step sees: varied views of `size` randomly drawn cases, which all have the target."""
        ...

    def passes(
        self, case: PreparedCase, settings: Sequence[str], device: torch.device, rng: np.random.Generator
    ) -> list[Batch]:
        """What an observer looks at of a case: randomly placed views that are not varied, under each setting."""
        ...

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """The network's output as a prediction uses it."""
        ...

    def answer(self, model: nn.Module, batch: Batch) -> Tensor:
        """The output that the loss is about; of several scales the finest."""
        ...

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The scalar that trains, and the answer."""
        ...

    def divergence(self, taught: Tensor, answer: Tensor) -> Tensor | None:
        """How far an answer is from a teacher's, a scalar T^2 KL(teacher || answer); None where it teaches nothing."""
        ...

    def predict(self, model: nn.Module, case: PreparedCase, setting: str) -> NDArray[Any]:
        """The prediction for a whole case. No step here sees a target."""
        ...

    def examine(self, model: nn.Module, case: PreparedCase, setting: str) -> tuple[NDArray[Any], Margins | None]:
        """The prediction for a case with the target, and how sure it is; None where the task's answer is no mask."""
        ...

    def score(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> CaseScore:
        """What a prediction is worth for a case with the target."""
        ...

    def outcomes(self, row: CaseScore) -> frozenset[str]:
        """What of a case the task's figures tell apart: its class, the endpoints whose event came."""
        ...

    def conceal(self, row: CaseScore, outcomes: Collection[str]) -> CaseScore:
        """The row as figures may see it where no figure may tell these outcomes apart by it."""
        ...

    def summarise(self, rows: Sequence[CaseScore]) -> Score:
        """Every metric of the task over cases; what they do not define is None and counted."""
        ...

    def compare(
        self, new: Mapping[str, CaseScore], old: Mapping[str, CaseScore], rng: np.random.Generator
    ) -> Comparison:
        """The primary metric of `new` minus that of `old` over the cases of both, and its standard error."""
        ...

    def record(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """What the center's own pages need of a prediction beside its score, by name; empty where that is nothing."""
        ...


def with_target(task: CenterTask, cases: Iterable[PreparedCase]) -> list[PreparedCase]:
    """The cases that a task can train on and be scored on."""
    return [case for case in cases if task.has_target(case)]


def runnable_settings(
    task: CenterTask, case: PreparedCase, model_settings: Collection[str]
) -> tuple[ModalitySetting, ...]:
    """The settings that task, case and model allow, the fullest one last."""
    return tuple(name for name in settings_within(case.modalities) if name in model_settings and task.runs(name))
