"""Support-weighted mean per tensor over the centers that really used it.

    next_t = sum_c n_c,g(t) x_c,t / sum_c n_c,g(t)      over the centers c that sent t with n_c,g(t) > 0

t is a tensor, g(t) its group, x_c,t what center c sent, n_c,g the training cases of center c whose forward pass
used group g (`Payload.support`). A tensor without such a center keeps its shared values. Sums run in float64 in
the order of center names, so the order of arrival cannot change a bit; with integer weights n x is exact in
float64, so equal tensors average to themselves.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.errors import PayloadError
from strategies.payload import Payload
from strategies.tensors import BACKBONE, Tensors


def aggregate(
    shared: Tensors, payloads: Sequence[Payload], groups: Mapping[str, str]
) -> dict[str, NDArray[np.float32]]:
    """Average admitted payloads into the next shared tensors.

    Keys that only payloads hold (the magnitudes of a fresh DoRA adapter) are averaged like all others.

    Raises:
        PayloadError: a center sent two payloads, a key has no group, or no center supports any tensor.
    """
    ordered = sorted(payloads, key=lambda payload: payload.center)
    _refuse_two_of_one_center(ordered)
    keys = sorted({key for payload in ordered for key in payload.tensors})
    means = {key: _mean(key, supporters) for key in keys if (supporters := _supporters(key, ordered, groups))}
    if not means:
        raise PayloadError(
            f"no center supports any tensor: centers {[payload.center for payload in ordered]}, support "
            f"{[dict(payload.support) for payload in ordered]}, expected at least one training case at one center; "
            "the shared tensors stay as they are"
        )
    kept = {key: np.array(array, dtype=np.float32) for key, array in shared.items() if key not in means}
    return dict(sorted({**kept, **means}.items()))


def start_from(shared: Tensors, _own: Tensors | None) -> Tensors:
    """The shared tensors: every center goes on from the same state."""
    return shared


def remember(_own: Tensors, sent: Tensors, groups: Mapping[str, str]) -> Tensors:
    """What the center sent last, for the bank; nothing while the backbone is averaged, which is nobody's own."""
    return {} if any(groups[key] == BACKBONE for key in sent) else sent


def carry(_own: Mapping[str, Tensors]) -> Mapping[str, Tensors]:
    """Nothing: the next stage starts from the shared state alone."""
    return {}


def _supporters(
    key: str, payloads: Sequence[Payload], groups: Mapping[str, str]
) -> list[tuple[int, NDArray[np.float32]]]:
    """Weight and tensor of each center that sent `key` with cases behind it, in the order of `payloads`."""
    if key not in groups:
        senders = [payload.center for payload in payloads if key in payload.tensors]
        raise PayloadError(f"tensor '{key}' sent by centers {senders} belongs to no group of the study's tensor ledger")
    group = groups[key]
    return [
        (payload.support[group], payload.tensors[key])
        for payload in payloads
        if key in payload.tensors and payload.support.get(group, 0) > 0
    ]


def _mean(key: str, supporters: Sequence[tuple[int, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Weighted mean in float64, rounded once to float32; all tensors must have one shape."""
    weights, arrays = zip(*supporters, strict=True)
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise PayloadError(f"tensor '{key}' arrived in shapes {sorted(shapes)}, expected one shape from all centers")
    mean = np.average(np.stack(arrays, dtype=np.float64), axis=0, weights=np.array(weights, dtype=np.float64))
    return np.asarray(mean, dtype=np.float32)


def _refuse_two_of_one_center(payloads: Sequence[Payload]) -> None:
    counts = Counter(payload.center for payload in payloads)
    doubled = sorted(center for center, count in counts.items() if count > 1)
    if doubled:
        raise PayloadError(f"centers {doubled} sent more than one payload in a round, expected one from each center")
