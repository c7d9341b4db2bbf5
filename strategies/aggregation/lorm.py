"""LoRM: what trained is merged by RegMean's closed form, which weighs every center by the inputs it has seen.

G_c = X X'/n is the Gram matrix of a module's inputs at center c; a center sends a root R_c with R_c' R_c ~ G_c as
`M@gram`. Per phase (see `alt_exact`), means over centers with their weights w_c, Gamma_c = 0.9 G_c + 0.1 diag(G_c):

    phase A    A*  = (mean_c A_c Gamma_c + rho mean_c A_c)            (mean_c Gamma_c + rho I)^-1
    phase B    B'* = (mean_c B'_c A Gamma_c A' + rho mean_c B'_c A A') (mean_c A Gamma_c A' + rho A A')^-1

Each minimises  mean_c |(D - D_c) Gamma_c^(1/2)|^2 + rho |D - mean_c D_c|^2  over the live factor of D = B' A, which for
rho -> 0 is RegMean. The ridge pulls to the plain mean instead of to zero, so that directions no center has seen are
averaged and equal centers give that center. Gains d are averaged. The off-diagonal factor 0.9 is RegMean's.

Salami et al. 2025, Closed-form Merging of Parameter-Efficient Modules for Federated Continual Learning (arXiv
2410.17961), equations 7 and 8; Jin et al. 2023, RegMean (arXiv 2212.09849), equation 2.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from protocol.errors import PayloadError
from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors
from strategies.aggregation.alt_exact import forgetful, phase_of_round
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.linear import Sent, mean_of, step_towards
from strategies.aggregation.linear_form import Array, Arrays, Named, flat, modules_of

OFF_DIAGONAL = 0.9
WEIGHTED, CURVATURE = "@weighted", "@curvature"


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """Merge one phase; tensors outside the adapter by the masked mean.

    Raises:
        PayloadError: a center sent a live factor without the Gram root of its module, or as in `alt_exact`.
    """
    phase = phase_of_round(shared, base)

    def encode(sent: Sent) -> Named:
        coordinates: dict[str, Arrays] = dict(phase.encode(sent))
        for module in modules_of(sent.live):
            root = _root(module, sent)
            coordinates |= _moments_a(module, coordinates, root)
            coordinates |= _moments_b(module, coordinates, root, shared)
        return coordinates

    means = merge(mean_of(shared, payloads, base, encode), shared, base.settings.ridge)
    result = step_towards(shared, means, base, moments, encode=phase.encode, decode=phase.decode)
    return forgetful(result, shared, base)


def merge(means: Mapping[str, Array], shared: Tensors, ridge: float) -> dict[str, Array]:
    """The means with every live factor replaced by its closed form, and without what only the closed form needs."""
    plain = {key: array for key, array in means.items() if not key.endswith((WEIGHTED, CURVATURE))}
    for key in [key for key in plain if key + CURVATURE in means]:
        a, mean = flat(shared[key.replace("#lora_b", "#lora_a")]), flat(plain[key])
        pull, curvature = means[key + WEIGHTED] - mean @ means[key + CURVATURE], means[key + CURVATURE]
        if key.endswith("#lora_a"):
            change = np.linalg.solve(curvature + ridge * np.eye(len(curvature)), pull.T).T
        else:  # A A' is singular when A has more rows than columns or a row of zeros
            change = pull @ np.linalg.pinv(curvature + ridge * a @ a.T, hermitian=True)
        plain[key] = (mean + change).reshape(plain[key].shape)
    return plain


def _moments_a(module: str, coordinates: Named, root: Array) -> dict[str, Array]:
    """A_c Gamma_c (r, k) and Gamma_c (k, k)."""
    if (key := f"{module}#lora_a") not in coordinates:
        return {}
    curvature: Array = OFF_DIAGONAL * root.T @ root
    curvature[np.diag_indices_from(curvature)] /= OFF_DIAGONAL
    return {key + WEIGHTED: flat(coordinates[key]) @ curvature, key + CURVATURE: curvature}


def _moments_b(module: str, coordinates: Named, root: Array, shared: Tensors) -> dict[str, Array]:
    """B'_c A Gamma_c A' (d, r) and A Gamma_c A' (r, r), without a (k, k) matrix."""
    if (key := f"{module}#lora_b") not in coordinates:
        return {}
    a = flat(shared[f"{module}#lora_a"])
    seen, diagonal = a @ root.T, np.square(root).sum(axis=0)
    curvature = OFF_DIAGONAL * seen @ seen.T + (1 - OFF_DIAGONAL) * (a * diagonal) @ a.T
    return {key + WEIGHTED: flat(coordinates[key]) @ curvature, key + CURVATURE: curvature}


def _root(module: str, sent: Sent) -> Array:
    if (key := f"{module}@gram") not in sent.statistics:
        raise PayloadError(
            f"center '{sent.center}' sent module '{module}' without '{key}', the root of its inputs' Gram matrix, "
            "which scheme 'lorm' weighs it by; let training replies carry statistics [\"gram\"], or take "
            "scheme 'alt-exact', which needs none"
        )
    return flat(sent.statistics[key])
