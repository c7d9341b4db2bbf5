"""Folds of a cross-validation: disjoint, and alike in what they hold.

The cases of each stratum, a class at a center say, are dealt to the folds in turn in random order, and the next stratum
goes on where the last one ended. Folds then differ by one case at most, and so does every stratum in them; strata that
stand next to each other (sort the class first) are dealt as one, so that a class differs by one case at most too.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np


def stratified_folds(strata: Mapping[str, Any], folds: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """The cases of each fold.

    Args:
        strata: stratum of each case; strata can be sorted.
        folds: their number, from 2 to that of the cases.
        rng: where the order in a stratum comes from.

    Raises:
        ValueError: there are fewer cases than folds, or fewer than two folds.
    """
    if not 2 <= folds <= len(strata):
        raise ValueError(f"{len(strata)} case(s) make no {folds} folds; expected 2 folds or more, each with a case")
    dealt: list[str] = []
    for stratum in sorted(set(strata.values())):
        dealt += rng.permutation(sorted(case for case, own in strata.items() if own == stratum)).tolist()
    return [tuple(dealt[fold::folds]) for fold in range(folds)]
