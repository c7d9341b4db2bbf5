"""How sure a mask is, by what its center found on cases whose contour it knows; no mask is withheld for it.

A center's trainer keeps temperature and threshold of the network that it was served (`client.scores.calibration_log`).
They hold for that network and that input alone: the row is found by content hashes, and where there is none nothing is
said. The uncertainty is the mean entropy near the predicted lesion on the study's grid, as it was for the threshold.
A temperature changes probabilities and never a side of one half, so the mask is what it would be without.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from client.data.checks import Issue
from client.scores.abstention import is_kept
from client.scores.calibration import PLAIN
from client.scores.calibration_rows import CalibrationRow
from client.tasks.margins import count_near, mean_entropy
from client.tasks.sliding_windows import PredictedVolume

REVIEW = "review by hand: uncertainty above this center's threshold"
NOT_ABOVE = "uncertainty not above this center's threshold"
NOTHING_FOUND = "review by hand: no lesion was predicted"
NO_CALIBRATION = "no calibration was given"
NO_ROW = "the calibration is of other adapters or inputs"


@dataclass(frozen=True)
class Uncertainty:
    """How sure a mask is.

    entropy_nats: mean near the predicted lesion, None where none was predicted. temperature, threshold_nats: of the
    center, None where it has none. review: whether a person is to look, None where nothing says so. statement: in
    words. validation_cases, coverage: what the threshold stands on, and what it was chosen to keep.
    """

    entropy_nats: float | None
    temperature: float | None
    threshold_nats: float | None
    review: bool | None
    statement: str
    validation_cases: int = 0
    coverage: float | None = None


def find_row(rows: Sequence[CalibrationRow], adapter: Mapping[str, Any], setting: str) -> CalibrationRow | None:
    """The newest row of an adapter, by the facts of a record, on an input."""
    wanted = (adapter.get("sha256"), adapter.get("backbone_sha256"), setting)
    found = [row for row in rows if (row.adapter_sha256, row.backbone_sha256, row.modalities) == wanted]
    return found[-1] if found else None


def judge(
    volume: PredictedVolume, spacing_zyx_mm: Sequence[float], row: CalibrationRow | None, reason: str
) -> Uncertainty:
    """How sure a mask on the study's grid is; `reason` says why there is no row, where there is none."""
    temperature = None if row is None else row.temperature
    near = count_near(volume.margin, volume.classes, spacing_zyx_mm)
    found = mean_entropy(near, PLAIN if temperature is None else temperature)
    if row is None or row.threshold is None:
        told = f"not judged: {reason if row is None else row.no_threshold}"
        return Uncertainty(found, temperature, None, None, told, 0 if row is None else row.validation_cases)
    review = not is_kept(found, row.threshold)
    told = NOTHING_FOUND if found is None else REVIEW if review else NOT_ABOVE
    return Uncertainty(found, temperature, row.threshold, review, told, row.validation_cases, row.coverage)


def temper(probability: NDArray[np.float32], temperature: float | None) -> NDArray[np.float32]:
    """Probabilities at a temperature; as they are where there is none."""
    if temperature is None:
        return probability
    return np.asarray(expit(logit(np.clip(probability, 0, 1)) / temperature), dtype=np.float32)


def describe_uncertainty(found: Uncertainty) -> tuple[str, ...]:
    """For a report: the figure where there is one, and the statement."""
    figure = f"mean entropy near the predicted lesion {found.entropy_nats or 0:.3f} nats"
    return (found.statement,) if found.entropy_nats is None else (figure, found.statement)


def uncertainty_doubts(case: str, found: Uncertainty) -> Iterator[Issue]:
    """That a person is to look, where the uncertainty says so; or that a calibration was given which says nothing."""
    if found.statement.endswith(NO_ROW):
        yield Issue("no-calibration", case, f"case '{case}': its uncertainty was not judged: {NO_ROW}", "warning")
    if found.review and found.entropy_nats is not None and found.coverage is not None:
        yield Issue(
            "review-by-hand",
            case,
            f"case '{case}': {REVIEW}: {found.entropy_nats:.3f} nats above {found.threshold_nats:.3f}, chosen on "
            f"{found.validation_cases} validation cases to keep {found.coverage:.0%} of cases like them; the mask is "
            "written as it was predicted",
            "warning",
        )
