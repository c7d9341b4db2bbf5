"""Cases whose voxels near the lesion are counted at a few margins, scored."""

from typing import Any

import numpy as np

from client.scores.calibration_log import calibrate
from client.scores.calibration_rows import CalibrationRow
from client.scores.scoring import Scored
from client.tasks.margins import BINS, LIMIT, STEP, Margins
from tests.support.segmentation_task import row


def counted(margins: list[float], inside: list[int], outside: list[int]) -> Margins:
    """Voxels at a few margins, inside and outside of the contour, all near the prediction."""
    found = [np.zeros(BINS, np.int32) for _ in range(2)]
    for margin, hit, miss in zip(margins, inside, outside, strict=True):
        step = int((margin + LIMIT) / STEP)
        found[0][step], found[1][step] = hit, miss
    return Margins(found[1], found[0], found[0] + found[1])


UNSURE = counted([2.05, -2.05], [75, 25], [25, 75])
"""Right in three of four voxels, where it says 0.886: T = 2.05 / log 3 = 1.866 makes it 0.75."""


def scored(case: str, margins: Margins | None = UNSURE, dice: float | None = 0.5, setting: str = "ct+pet") -> Scored:
    """A case with its score and its margins."""
    return Scored(row(case, setting, dice=dice), (), np.dtype(np.uint8), b"", margins=margins)


class HashedNetwork:
    """What names a network."""

    adapter_hash, backbone_hash = "a" * 64, "b" * 64


def calibration(validation: list[Scored], tests: list[Scored], stage: str = "adapt") -> list[CalibrationRow]:
    """Rows of a stage."""
    network: Any = HashedNetwork()
    return calibrate(stage, network, validation, tests)
