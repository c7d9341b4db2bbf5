"""What the coordinator remembers of stages whose data it no longer sees: Gram sketches, Fisher diagonals, controls.

    Gram      Gbar_k = gamma Gbar_{k-1} + sum_i w_i G_i       G = R^T R, R (q, k) the rows of `M@gram`
    Fisher    F_k    = gamma F_{k-1}    + sum_i w_i F_i       `key@fisher`, elementwise, never negative
    SCAFFOLD  c      = c + (|S| / N) mean_{i in S} (c_i+ - c_i)       c `key@shared-control`, c_i `key@control`

    gamma     decay: what a stage's end leaves of all stages before
    w_i       share of center i among the centers that observed this key, by the cases behind it, at most one half
              where there are several; the w_i sum to 1
    S, N      centers that sent this key in the round; all centers of the stage

    mass      m_k = gamma m_{k-1} + 1, `M@gram-mass`: how many centers' worth of inputs the sum holds, 1 after one stage

A key that nobody observed stays bit-identical: no cases, no opinion, and so nothing fades either. No center has more
than half of the weight where there are others.

A sum of Gram matrices is the Gram matrix of stacked roots: with U = [sqrt(gamma) R_old; sqrt(w_1) R_1; ...], (Q, k),
U^T U is the sum. The best root of q rows is S_q V_q^T of the SVD U = Y S V^T (Eckart and Young 1936), found in
O(Q^2 k) without any k x k matrix. It is exact where Q <= q, or U has rank q or less; otherwise it underestimates the
sum, and the share of trace(U^T U) that it keeps is logged.

Gram anchor: EWC (arXiv 1612.00796) on a module's output instead of its weights; the form is this project's. Online
EWC: Schwarz et al. 2018 (arXiv 1805.06370), section 3. SCAFFOLD: Karimireddy et al. 2020 (arXiv 1910.06378),
algorithm 1, line 17.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PayloadError
from protocol.messages.tensors import Tensors
from strategies.shares import capped_shares

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Observed = Sequence[tuple[float, Tensors]]

GRAM, FISHER, CONTROL, SHARED_CONTROL = "@gram", "@fisher", "@control", "@shared-control"
MASS = "-mass"
WELL_KEPT = 0.9


def merge_grams(old: Tensors, observed: Observed, *, decay: float, rank: int) -> dict[str, NDArray[np.float32]]:
    """Gbar_k of every module that was observed or remembered, as roots of at most `rank` rows.

    Args:
        old: `M@gram` remembered so far; keys that end otherwise are ignored here and below.
        observed: for each center the cases behind its sketch and its `M@gram`.
        decay: gamma.
        rank: q, the most rows a root may have.

    Raises:
        PayloadError: a weight that is no positive finite number, a root that is no finite matrix, or roots of a module
            with different widths.
    """
    merged: dict[str, NDArray[np.float32]] = dict(_ending(old, GRAM))
    kept: dict[str, float] = {}
    for key, roots in _by_key(observed, GRAM).items():
        if key in old:
            roots.append((decay, old[key]))
        merged[key], kept[key] = sketch(_stack(key, roots), rank)
    _log_energy(kept, rank)
    return {key: merged[key] for key in sorted(merged)}


def sketch(stack: Array, rank: int) -> tuple[NDArray[np.float32], float]:
    """The best root of at most `rank` rows of U^T U, and the share of its trace that the root keeps.

    Rows come by falling energy; in each, the entry of largest magnitude is positive, so that equal stacks give equal
    bytes on one machine.

    Args:
        stack: U, (Q, k), finite.
        rank: q, at least 1.
    """
    _, singular, rows = np.linalg.svd(stack, full_matrices=False)
    root = singular[:rank, None] * rows[:rank]
    largest = np.abs(root).argmax(axis=1)
    signs = np.where(root[np.arange(len(root)), largest] < 0, -1.0, 1.0)
    total = float(np.sum(singular**2))
    share = float(np.sum(singular[:rank] ** 2)) / total if total > 0 else 1.0
    return (signs[:, None] * root).astype(np.float32), share


def merge_fishers(old: Tensors, observed: Observed, *, decay: float) -> dict[str, NDArray[np.float32]]:
    """F_k of every tensor that was observed or remembered.

    Args:
        old: `key@fisher` remembered so far.
        observed: for each center the cases behind its Fisher diagonal and its `key@fisher`.
        decay: gamma.

    Raises:
        PayloadError: a weight that is no positive finite number; a diagonal that is negative, not finite, or of
            another shape than the others of its key.
    """
    merged: dict[str, NDArray[np.float32]] = dict(_ending(old, FISHER))
    for key, diagonals in _by_key(observed, FISHER).items():
        if key in old:
            diagonals.append((decay, old[key]))
        shapes = {array.shape for _, array in diagonals}
        least = min(float(np.min(array, initial=0.0)) for _, array in diagonals)
        if len(shapes) > 1 or not all(np.isfinite(array).all() for _, array in diagonals) or least < 0:
            raise PayloadError(
                f"'{key}' has shapes {sorted(shapes)} and least value {least:g}, expected one shape and finite values "
                "of at least 0; leave out the center whose answer differs"
            )
        merged[key] = _sum_by_weight(diagonals)
    return {key: merged[key] for key in sorted(merged)}


def add_mass(old: Tensors, observed: Observed, *, decay: float) -> dict[str, NDArray[np.float32]]:
    """m_k of every key that was observed or remembered, as `key-mass` (1,)."""
    merged = {key: array for key, array in old.items() if key.endswith(MASS)}
    for key in {key for _, tensors in observed for key in tensors}:
        before = float(merged[key + MASS].item()) if key + MASS in merged else float(key in old)
        merged[key + MASS] = np.array([decay * before + 1], dtype=np.float32)
    return {key: merged[key] for key in sorted(merged)}


def merge_controls(
    shared: Tensors, before: Mapping[str, Tensors], after: Mapping[str, Tensors], centers: int
) -> dict[str, NDArray[np.float32]]:
    """SCAFFOLD's shared control variate of every key that a center sent; what starts is zero.

    As |S| / N times the mean over S is the sum over S by N, a center that sends no PET tensor counts there as one
    whose control variate stays zero: c stays the mean of all N centers' c_i.

    Args:
        shared: c so far, `key@shared-control`; other keys are ignored.
        before: center -> the c_i it started from, `key@control`.
        after: center -> the c_i+ it sent.
        centers: N.

    Raises:
        PayloadError: more centers sent a key than the stage has, or a control variate is of another shape than the
            shared one or not finite.
    """
    changes: dict[str, list[tuple[float, NDArray[np.float32]]]] = {}
    for center in sorted(after):
        for sent, array in _ending(after[center], CONTROL).items():
            key = sent.removesuffix(CONTROL) + SHARED_CONTROL
            start = before.get(center, {}).get(sent, np.zeros_like(array))
            _check_control(center, sent, array, start, shared.get(key, array))
            changes.setdefault(key, []).extend([(1 / centers, array), (-1 / centers, start)])
    crowded = [key for key, terms in changes.items() if len(terms) > 2 * centers]
    if crowded:
        found = len(changes[crowded[0]]) // 2
        raise PayloadError(f"'{crowded[0]}' has terms of {found} centers, expected at most the stage's {centers}")
    known = {key: [(1.0, shared[key])] for key in changes if key in shared}
    return {key: _sum_by_weight(known.get(key, []) + terms) for key, terms in sorted(changes.items())}


def _ending(tensors: Tensors, ending: str) -> dict[str, NDArray[np.float32]]:
    return {key: tensors[key] for key in sorted(tensors) if key.endswith(ending)}


def _by_key(observed: Observed, ending: str) -> dict[str, list[tuple[float, NDArray[np.float32]]]]:
    """Key -> (w_i, array) of the centers that have it, w_i summing to 1; keys in order, centers in theirs."""
    for weight, _ in observed:
        if not (math.isfinite(weight) and weight > 0):
            raise PayloadError(f"an observation has {weight} cases behind it, expected a positive number; leave it out")
    keys = sorted({key for _, tensors in observed for key in _ending(tensors, ending)})
    found = {key: [(weight, tensors[key]) for weight, tensors in observed if key in tensors] for key in keys}
    return {key: _shares(terms) for key, terms in found.items()}


def _shares(terms: list[tuple[float, NDArray[np.float32]]]) -> list[tuple[float, NDArray[np.float32]]]:
    """Weights that sum to 1, none above one half where there are several."""
    shares = capped_shares({place: weight for place, (weight, _) in enumerate(terms)})
    return [(shares[place], array) for place, (_, array) in enumerate(terms)]


def _stack(key: str, roots: Iterable[tuple[float, NDArray[np.float32]]]) -> Array:
    """U, (Q, k): the roots under each other, each times the square root of its weight."""
    roots = list(roots)
    shapes = [array.shape for _, array in roots]
    finite = all(np.isfinite(array).all() for _, array in roots)
    if any(len(shape) != 2 for shape in shapes) or len({shape[1] for shape in shapes}) > 1 or not finite:
        raise PayloadError(
            f"'{key}' has roots of shapes {shapes}, all finite: {finite}; expected finite matrices (rows, inputs) of "
            "one number of inputs; leave out the center whose answer differs"
        )
    return np.concatenate([math.sqrt(weight) * array.astype(np.float64) for weight, array in roots])


def _sum_by_weight(terms: Sequence[tuple[float, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Sum of weight times array in float64, in the order given."""
    total = np.zeros(terms[0][1].shape, dtype=np.float64)
    for weight, array in terms:
        total += weight * array.astype(np.float64)
    return total.astype(np.float32)


def _check_control(
    center: str, key: str, array: NDArray[np.float32], start: NDArray[np.float32], shared: NDArray[np.float32]
) -> None:
    if not array.shape == start.shape == shared.shape or not np.isfinite(array).all():
        raise PayloadError(
            f"center '{center}': '{key}' has shape {array.shape}, {int((~np.isfinite(array)).sum())} not finite; "
            f"expected finite values of shape {shared.shape}, as it had before {start.shape}"
        )


def _log_energy(kept: Mapping[str, float], rank: int) -> None:
    """Say how much of the modules' summed Gram matrices the sketches keep; a warning where it is little."""
    if not kept:
        return
    least = min(kept, key=lambda key: kept[key])
    log: Callable[..., None] = logger.warning if kept[least] < WELL_KEPT else logger.info
    log("Gram sketches of %d rows keep at least %.4f of the trace ('%s')", rank, kept[least], least)
