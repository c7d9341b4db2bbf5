"""The adapter of one scan: the shared one with those of the centers that its route names added to it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.messages.tensors import CENTER, NORM, ROLE_GROUPS, Tensors, is_statistic, module_of, role_of
from strategies.continual.router import Route


def merge_center_adapters(route: Route, shared: Tensors, own: Mapping[str, Tensors]) -> dict[str, NDArray[np.float32]]:
    """The tensors to load for one scan: S + sum_c pi_c E_c as one center adapter, and norms where all have them.

    Factors are stacked, A = [A_1; A_2] and B = [pi_1 B_1, pi_2 B_2], so that B A = sum_c pi_c B_c A_c exactly; the
    weight goes on one factor only. The stacked rank is the sum of the centers' ranks, with scale 1 as theirs. A
    normalisation's parameters replace the shared ones and are no addition, hence their weights are pi_c raised to sum
    to 1, and one that not all serving centers have is left as the backbone has it.

    Args:
        route: which centers serve, with what weight; nobody where the scan is unknown.
        shared: S, returned as it is beside the center adapter.
        own: center -> its own tensors; only center adapters and norms are read.
    """
    serving = [(weight, own.get(center, {})) for center, weight in route.weights.items()]
    merged: dict[str, NDArray[np.float32]] = dict(shared)
    for module in sorted({module_of(key) for _, tensors in serving for key in _of(tensors, CENTER)}):
        key_a, key_b = f"{module}#center_a", f"{module}#center_b"
        pairs = [(w, tensors[key_a], tensors[key_b]) for w, tensors in serving if {key_a, key_b} <= tensors.keys()]
        if pairs:
            merged[key_a] = np.concatenate([a for _, a, _ in pairs]).astype(np.float32)
            merged[key_b] = np.concatenate([w * b.astype(np.float64) for w, _, b in pairs], axis=1).astype(np.float32)
    total = sum(route.weights.values())
    for key in sorted({key for _, tensors in serving for key in _of(tensors, NORM)}):
        if all(key in tensors for _, tensors in serving):
            merged[key] = _mean([(w / total, tensors[key]) for w, tensors in serving])
    return merged


def _of(tensors: Tensors, group: str) -> list[str]:
    return [key for key in tensors if not is_statistic(key) and ROLE_GROUPS.get(role_of(key)) == group]


def _mean(terms: Sequence[tuple[float, NDArray[np.float32]]]) -> NDArray[np.float32]:
    total = np.sum([weight * array.astype(np.float64) for weight, array in terms], axis=0)
    return np.asarray(total, dtype=np.float32)
