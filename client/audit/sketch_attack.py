"""Whether a patient can be told from statistics over training patients: how well these reconstruct him.

    gram        R of each adapted module is the sketch over training cases, S the patient's own (`observation`), P the
                projection on the rows of R:
                    e = 1 - |S P|_F^2 / |S|_F^2        share of the patient's input energy that R does not span
                the score is minus the mean of e over modules
    prototype   f are the patient's features, mu and sigma mean and scatter of training cases by feature:
                    -|(f - mu) / sigma|                the nearer, the likelier among them

Minus a score is how badly the statistic reconstructs the patient: one who is among those behind it is reconstructed
better than one who is not, the more so the fewer they are. Statistics are over all training cases here; a release
leaves out cases that wait for a block, and tells less.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check
from client.learning.features import FEATURES
from client.learning.observation import observe
from client.tasks.contract import CenterTask
from fusion_models.model_row import ModelRow
from protocol.errors import ModelError
from protocol.messages.settings import Statistic, StudySettings
from strategies.evaluation.matrix import Floats

Arrays = Mapping[str, NDArray[np.float32]]
SMALLEST = 1e-12


def statistics_of(
    model: nn.Module,
    cases: Sequence[PreparedCase],
    statistic: Statistic,
    task: CenterTask,
    settings: StudySettings,
    row: ModelRow,
    check: Check,
    rng: np.random.Generator,
) -> tuple[Arrays, int]:
    """A statistic over cases, and how many entered; nothing where the model has none."""
    try:
        found, support = observe(
            model,
            cases,
            statistics=[statistic],
            task=task,
            settings=settings,
            model_settings=row.settings,
            rng=rng,
            check=check,
        )
    except ModelError:
        return {}, 0
    return found, max(support.values(), default=0)


def gram_score(released: Arrays, own: Arrays) -> float:
    """Minus the share of a patient's input energy that the released sketches do not span; NaN without a module."""
    errors = [_unspanned(released[key], sketch) for key, sketch in own.items() if key in released]
    return -float(np.mean(errors)) if errors else float("nan")


def prototype_score(released: Arrays, own: Arrays, cases: int, modality: str) -> float:
    """Minus the distance of a patient's features from the mean, in standard deviations; NaN without the modality."""
    name = FEATURES[modality]
    if f"{name}@mean" not in released or f"{name}@mean" not in own or cases < 2:
        return float("nan")
    deviation = np.sqrt(np.diag(released[f"{name}@scatter"]).astype(np.float64) / cases)
    away = own[f"{name}@mean"].astype(np.float64) - released[f"{name}@mean"]
    varying = deviation > SMALLEST
    return -float(np.linalg.norm(away[varying] / deviation[varying]))


def statistic_scores(
    model: nn.Module,
    training: Sequence[PreparedCase],
    cases: Sequence[PreparedCase],
    task: CenterTask,
    settings: StudySettings,
    row: ModelRow,
    check: Check,
) -> dict[str, Floats]:
    """The score of each case by each statistic, (cases,): `gram-sketch`, `prototype-ct`, `prototype-pet`.

    Args:
        model: that looks at the cases.
        training: those behind the statistics.
        cases: who is asked about.
    """
    rng = np.random.default_rng(settings.seed)

    def look(seen: Sequence[PreparedCase], statistic: Statistic) -> tuple[Arrays, int]:
        return statistics_of(model, seen, statistic, task, settings, row, check, rng)

    grams, (prototypes, count) = look(training, "gram")[0], look(training, "prototype")
    own = [(look([case], "gram")[0], look([case], "prototype")[0]) for case in cases]
    found = {"gram-sketch": np.array([gram_score(grams, gram) for gram, _ in own])}
    for modality in FEATURES:
        scores = [prototype_score(prototypes, prototype, count, modality) for _, prototype in own]
        found[f"prototype-{modality}"] = np.array(scores)
    return found


def _unspanned(released: NDArray[np.float32], own: NDArray[np.float32]) -> float:
    energy = float(np.square(own, dtype=np.float64).sum())
    if energy < SMALLEST:
        return 0.0
    _, sizes, directions = np.linalg.svd(released.astype(np.float64), full_matrices=False)
    spanned = directions[sizes > SMALLEST * max(sizes[0], SMALLEST)]
    return max(0.0, 1 - float(np.square(own.astype(np.float64) @ spanned.T).sum()) / energy)
