"""Updates of a few numbers, and what a rule makes of them."""

from collections.abc import Sequence

import numpy as np

from strategies.robust.contract import Compared, Vector, Weigh


def compared(
    updates: Sequence[Sequence[float]], shares: Sequence[float] = (), liars: int = 1, reference: int | None = None
) -> Compared:
    """Updates as rules see them; equal shares where none are given."""
    rows = np.array(updates, dtype=np.float64)
    weights = np.array(shares or [1 / len(rows)] * len(rows))
    return Compared(rows @ rows.T, weights / weights.sum(), liars, reference)


def combined(weigh: Weigh, updates: Sequence[Sequence[float]], **settings: object) -> Vector:
    """What a rule makes of updates: their weighed sum."""
    weighing = weigh(compared(updates, **settings))  # type: ignore[arg-type]
    return np.asarray((weighing.weights * weighing.lengths) @ np.array(updates, dtype=np.float64))
