"""FedIT: every tensor is averaged as it is, the factors A, B and the magnitude m each for itself.

    A <- mean_c A_c,    B <- mean_c B_c,    m <- mean_c m_c

The mean of the products is not the product of the means: the error is s cov(B, A), the weighted cross-covariance of the
factors over the centers, and for DoRA that of d and B' A too. Its size is logged as `factor_error`:

    | (diag(d) W0 + s B' A)(result) - mean_c (diag(d_c) W0 + s B'_c A_c) |_F / | mean_c (..) - W0 |_F

estimated on PROBES random directions a module, so that no dense product and no payload has to be kept:
E |E x|^2 = |E|_F^2 for x of independent signs (Hutchinson 1990).

Zhang et al. 2024, Towards Building the Federated GPT (arXiv 2305.05644), section 3.2.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.linear import Sent, as_averaged, as_sent, mean_of, step_towards
from strategies.aggregation.linear_form import Array, Named, base_weight, flat, linear_form, modules_of, scale_of

PROBES = 4
EFFECT = "@effect"


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The mean of every tensor, with the error that averaging factors makes as `factor_error` in the log."""

    def encode(sent: Sent) -> Named:
        return {**sent.live, **effects({**shared, **sent.live}, modules_of(sent.live), base, sent.center)}

    found = mean_of(shared, payloads, base, encode)
    exact = {key: array for key, array in found.items() if key.endswith(EFFECT)}
    means = {key: array for key, array in found.items() if key not in exact}
    result = step_towards(shared, means, base, moments, encode=as_sent, decode=as_averaged)
    reached = effects({**shared, **means}, modules_of(exact), base, "(mean of all)")
    return Aggregated(result.shared, result.moments, _factor_error(reached, exact))


def effects(tensors: Named, modules: Iterable[str], base: Base, center: str) -> dict[str, Array]:
    """(W - W0) x (d, PROBES) of each module for the same random x (k, PROBES): (d - 1) W0 x + s B' (A x)."""
    found = {}
    for module in modules:
        if not {f"{module}#lora_a", f"{module}#lora_b"} <= tensors.keys():
            continue
        form = linear_form(module, tensors, base, center)
        x = np.random.default_rng(base.seed).choice([-1.0, 1.0], size=(form.a.shape[1], PROBES))
        effect = scale_of(form.a, base.alpha) * form.b @ (form.a @ x)
        if f"{module}#magnitude" in tensors:
            effect += (form.gain - 1)[:, None] * (flat(base_weight(module, base)) @ x)
        found[f"{module}#lora_b{EFFECT}"] = effect
    return found


def _factor_error(reached: Mapping[str, Array], exact: Mapping[str, Array]) -> dict[str, float]:
    """Empty where no adapter trained or the mean update is zero."""
    size = sum(float(np.square(array).sum()) for array in exact.values())
    error = sum(float(np.square(reached[key] - array).sum()) for key, array in exact.items())
    return {"factor_error": float(np.sqrt(error / size))} if size else {}
