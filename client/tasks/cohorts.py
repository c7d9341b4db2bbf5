"""Tasks that answer for a case, and whose metrics are of a cohort: whole cases predicted, two cohorts compared.

A case is predicted by the fewest windows that cover its images, each beside the same covariates; its output is the mean
of theirs. Without images one forward pass is all there is.

Networks are compared on the same cases, and in each bootstrap replicate on the same resample of them: the metric of
both is computed on the resample and subtracted, since a metric of a cohort is no mean over cases. A resample that does
not define it for both (it may hold one class, or no comparable pair) is left out. What leaves is their standard
deviation: each resample's figure, with the draws known, would tell of single cases.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.crops import apply_crop, shape_of, windows
from client.data.preprocessing import PreparedCase
from client.tasks.batches import shows_images, stack
from client.tasks.contract import Batch, CaseScore
from protocol.messages.scores import Comparison, Score

REPLICATES = 1000
FEWEST_DEFINED = 100
WINDOWS_AT_ONCE = 4

Floats = NDArray[np.float64]
Figure = Callable[[Sequence[CaseScore], Floats], Floats]
"""A metric of n cases in many draws of them: weights (draws, n), how often each draw has each case -> (draws,).

NaN where undefined."""
Summary = Callable[[Sequence[CaseScore]], Score]


def predict_case(
    forward: Callable[[nn.Module, Batch], Tensor],
    model: nn.Module,
    case: PreparedCase,
    setting: str,
    crop_zyx: Sequence[int],
) -> NDArray[np.float32]:
    """The mean output (outputs,) over the windows of a case; the model comes back in evaluation mode."""
    device, shown = next(model.parameters()).device, [case]
    if shows_images(setting):
        shown = [apply_crop(case, window) for window in windows(shape_of(case), crop_zyx)]
    portions = [shown[start : start + WINDOWS_AT_ONCE] for start in range(0, len(shown), WINDOWS_AT_ONCE)]
    model.eval()
    with torch.inference_mode():
        outputs = torch.cat([forward(model, stack(portion, setting, device)).double() for portion in portions])
    mean: NDArray[np.float32] = outputs.mean(0).float().cpu().numpy()
    return mean


def compare_cohorts(
    new: Mapping[str, CaseScore],
    old: Mapping[str, CaseScore],
    figure: Figure,
    summarise: Summary,
    rng: np.random.Generator,
) -> Comparison:
    """The figure of `new` minus that of `old` on the cases of both, its standard error, and a summary of `new`.

    The standard error is the bootstrap's; None where fewer than FEWEST_DEFINED resamples define the figure.
    """
    names = sorted(new.keys() & old.keys())
    if not names:
        return Comparison(cases=0, difference=None)
    rows = [[scores[name] for name in names] for scores in (new, old)]
    weights = np.concatenate([np.ones((1, len(names))), drawn_weights(len(names), rng)])
    after, before = (figure(cohort, weights) for cohort in rows)
    differences, stands_on = after - before, summarise(rows[0])
    if np.isnan(differences[0]):
        return Comparison(cases=len(names), difference=None, score=stands_on)
    replicates = differences[1:][~np.isnan(differences[1:])]
    error = float(replicates.std()) if replicates.size >= FEWEST_DEFINED else None
    return Comparison(len(names), float(differences[0]), error, stands_on)


def drawn_weights(cases: int, rng: np.random.Generator) -> Floats:
    """How often each of REPLICATES resamples, drawn with replacement, has each case: (REPLICATES, cases)."""
    drawn = rng.multinomial(cases, np.full(cases, 1 / cases), size=REPLICATES)
    return drawn.astype(np.float64)
