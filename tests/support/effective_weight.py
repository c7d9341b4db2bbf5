"""The dense weight that a linear form stands for: what every exact scheme is held against."""

import numpy as np

from strategies.aggregation.linear_form import Array, Arrays, LinearForm


def effective(weight: Arrays, form: LinearForm, scale: float, *added: tuple[Array, Array]) -> Array:
    """Dense weight (d, k) at work: diag(d) W0 + s B' A + the products of `added` (b (d, c), a (c, k)), each at scale 1.

    `added` takes the residual and a center's own adapter.
    """
    dense = form.gain[:, None] * weight + scale * form.b @ form.a
    for b, a in added:
        dense += b @ a
    return np.asarray(dense, dtype=np.float64)
