"""What every robust rule is given and what it answers: how the updates of a round lie, and what each of them weighs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Compared:
    """The updates of one tensor group, one a center.

    products: <U_i, U_j> (n, n). shares: what each would have of a plain mean (n,), together 1; those of `liars`
    centers together less than a half. liars: f, how many centers may lie. reference: the place of the update that the
    others are held against, where a rule needs one.
    """

    products: Matrix
    shares: Vector
    liars: int
    reference: int | None = None

    @property
    def norms(self) -> Vector:
        """|U_i| (n,)."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.products), 0.0)))

    @property
    def squared_distances(self) -> Matrix:
        """|U_i - U_j|^2 (n, n)."""
        own = np.diag(self.products)
        return np.maximum(own[:, None] + own[None, :] - 2 * self.products, 0.0)


@dataclass(frozen=True, eq=False)
class Weighing:
    """What each update weighs (n,), together 1, and what it is multiplied with before (n,)."""

    weights: Vector
    lengths: Vector


Weigh = Callable[[Compared], Weighing]


def as_they_are(weights: Vector) -> Weighing:
    """Weights of updates whose length nothing changes; made to sum to 1."""
    return Weighing(weights / weights.sum(), np.ones_like(weights))
