"""Centers in feature space: Gaussian ones, and ones on a line that can be checked by hand."""

import numpy as np

from strategies.continual.prototypes import Prototype
from strategies.continual.router import Router, fit


def prototype(center: str, cases: np.ndarray) -> Prototype:
    """A center with these cases."""
    mean = cases.mean(axis=0)
    return Prototype(center, len(cases), mean, (cases - mean).T @ (cases - mean))


def line(**centers: "tuple[int, float]") -> Router:
    """Centers on a line: name -> (n_c, mu_c), variance 1 within each."""
    return fit(
        [
            Prototype(name, count, np.array([mean]), np.array([[count - 1.0]]))
            for name, (count, mean) in centers.items()
        ],
        shrinkage=0.5,
    )


def gaussian_centers(size: int, cases: int, seed: int = 0) -> "tuple[np.ndarray, list[np.ndarray]]":
    """Means of three centers that lie apart, and cases around each."""
    rng = np.random.default_rng(seed)
    means = 6 * rng.normal(size=(3, size))
    return means, [mean + rng.normal(size=(cases, size)) for mean in means]
