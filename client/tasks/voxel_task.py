"""What tasks that answer for every voxel and are judged case by case have alike: crops, and means over cases."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Self

import numpy as np
import torch

from client.data.preprocessing import PreparedCase
from client.tasks.batches import draw_crops, plain_crops
from client.tasks.contract import Batch, CaseScore
from client.tasks.pairing import compare_pairs, mean_score
from protocol.messages.recipe import Augmentation, Prediction
from protocol.messages.scores import Comparison, Score
from protocol.messages.settings import Preprocessing
from protocol.tasks import TASKS, TaskName


class VoxelTask(ABC):
    """Part of a `CenterTask`.

    Args:
        grid: of the study.
        prediction: how whole volumes are answered for.
        augmentation: how training crops are varied.
    """

    def __init__(self, grid: Preprocessing, prediction: Prediction, augmentation: Augmentation) -> None:
        self._grid, self._prediction, self._augmentation = grid, prediction, augmentation

    @property
    @abstractmethod
    def name(self) -> TaskName:
        """Its row in the table of tasks."""

    def fitted_to(self, _cases: Sequence[PreparedCase]) -> Self:
        """The task itself."""
        return self

    def draw_batch(
        self, cases: Sequence[PreparedCase], setting: str, size: int, device: torch.device, rng: np.random.Generator
    ) -> Batch:
        """`size` random crops of randomly drawn cases."""
        return draw_crops(cases, setting, size, self._grid, device, rng, self._augmentation)

    def passes(
        self, case: PreparedCase, settings: Sequence[str], device: torch.device, rng: np.random.Generator
    ) -> list[Batch]:
        """Crops that keep their sides and intensities, each under every setting."""
        return plain_crops(case, settings, self._grid.crop_zyx, device, rng)

    def outcomes(self, _row: CaseScore) -> frozenset[str]:
        """None: neither a contour nor an image is an outcome."""
        return frozenset()

    def conceal(self, row: CaseScore, _outcomes: Collection[str]) -> CaseScore:
        """The row itself."""
        return row

    def summarise(self, rows: Sequence[CaseScore]) -> Score:
        """Means over cases."""
        return mean_score(rows, TASKS[self.name])

    def compare(
        self, new: Mapping[str, CaseScore], old: Mapping[str, CaseScore], _rng: np.random.Generator
    ) -> Comparison:
        """The mean difference of the primary metric, paired by case."""
        return compare_pairs(new, old, TASKS[self.name].primary)
