"""Earlier stages' directions go into the residual, so that a new stage learns beside them (O-LoRA, arXiv 2310.14152).

    C <- C + s B' A,   A <- A_0,   B' <- 0,   d stays

The effective weight diag(d) W0 + C + s B' A is the same before and after; `residual_a` then holds the frozen rows that
the orthogonality term keeps a new A away from. A_0 is the study's initial A.
"""

import numpy as np
from numpy.typing import NDArray

from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import LinearForm, flat, linear_form, modules_of, wire_factors, wire_magnitude
from strategies.aggregation.low_rank_sum import Factors
from strategies.aggregation.residual import append, product_of, residual_of, residual_tensors


def fold(shared: Tensors, initial: Tensors, base: Base) -> dict[str, NDArray[np.float32]]:
    """The shared tensors with every adapter's update in its residual and the adapter fresh; without an update it stays.

    Raises:
        StudyError: the residual would lose energy at its cap.
    """
    tensors: dict[str, NDArray[np.float64] | NDArray[np.float32]] = dict(shared)
    for module in modules_of(shared):
        form = linear_form(module, shared, base)
        if not form.b.any():
            continue
        nothing = Factors(b=np.empty((form.b.shape[0], 0)), a=np.empty((0, form.a.shape[1])))
        product = product_of(form, base.alpha)
        residual = append(module, residual_of(module, shared), product, nothing, base.settings.residual_rank).factors
        fresh = LinearForm(a=flat(initial[f"{module}#lora_a"]), b=np.zeros_like(form.b), gain=form.gain)
        tensors |= {**wire_factors(module, fresh, shared), **residual_tensors(module, residual, shared)}
        if f"{module}#magnitude" in shared:
            tensors |= wire_magnitude(module, fresh, base)
    return {key: np.array(tensors[key], dtype=np.float32) for key in sorted(tensors)}
