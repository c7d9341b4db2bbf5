"""Centers in feature space: what the router knows of each.

A prototype is made at the center from features that the frozen backbone gives its training cases, and never changes
while the federation learns.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.messages.tensors import Tensors
from protocol.observation_bounds import feature_findings

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prototype:
    """One center in feature space: n_c, mu_c (p,) and the scatter S_c (p, p), a sum and not a mean over cases."""

    center: str
    count: int
    mean: Array
    scatter: Array


def prototypes_of(own: Mapping[str, Tensors], blocks: Sequence[str]) -> tuple[Prototype, ...]:
    """The prototypes of the centers that have every block of features and can be right, in the order of names.

    One that cannot costs its center its route and nobody else: values that are not finite, of a size that fewer
    centers have than another, or that no features of so many cases give. The log names it.

    Args:
        own: center -> what is kept of it: `BLOCK@mean` (p,), `BLOCK@scatter` (p, p) and `BLOCK@count` (1,).
        blocks: feature blocks of one scan, in the order in which its features are joined, for example
            ("features.ct", "features.pet"). How blocks vary together is not known: their joint scatter is
            block-diagonal, their count the smallest, and a scatter of more cases is scaled down to that count.
    """
    wanted = [f"{block}@{name}" for block in blocks for name in ("mean", "scatter", "count")]
    found = []
    for center in sorted(own):
        if all(key in own[center] for key in wanted):
            if findings := [finding for block in blocks for finding in _findings(own[center], block)]:
                logger.warning("center '%s' has no route: %s", center, "; ".join(findings))
            else:
                found.append(_join(center, own[center], blocks))
    return _of_one_size(found)


def _findings(tensors: Tensors, block: str) -> list[str]:
    count = tensors[f"{block}@count"]
    return list(feature_findings(tensors, block, float(count.item()) if count.size == 1 else 0.0))


def _of_one_size(rows: Sequence[Prototype]) -> tuple[Prototype, ...]:
    """Those of the size that most centers have; of two sizes as many, the one with more cases."""
    sizes = {row.mean.size for row in rows}
    if len(sizes) < 2:
        return tuple(rows)
    weights = {size: (sum(r.mean.size == size for r in rows), _cases(rows, size), size) for size in sizes}
    kept = max(sizes, key=lambda size: weights[size])
    for row in rows:
        if row.mean.size != kept:
            logger.warning(
                "center '%s' has no route: %d features, other centers have %d", row.center, row.mean.size, kept
            )
    return tuple(row for row in rows if row.mean.size == kept)


def _cases(rows: Sequence[Prototype], size: int) -> int:
    return sum(row.count for row in rows if row.mean.size == size)


def check(rows: Sequence[Prototype]) -> None:
    """See that prototypes can be fitted together.

    Raises:
        ValueError: no prototype, a name twice, sizes that differ, values that are not finite, or a count below 1.
    """
    names, sizes = [row.center for row in rows], {(row.mean.shape, row.scatter.shape) for row in rows}
    fitting = len(sizes) == 1 and rows[0].scatter.shape == rows[0].mean.shape * 2
    if not fitting or len(set(names)) < len(names):
        raise ValueError(
            f"router: centers {names} with means and scatters {sorted(sizes)}; expected at least one center, each "
            "once, and one size (p,), (p, p)"
        )
    poor = [row.center for row in rows if row.count < 1 or not np.isfinite([row.mean, *row.scatter]).all()]
    if poor:
        raise ValueError(f"router: centers {poor} have no case or values that are not finite; leave them out")


def _join(center: str, tensors: Tensors, blocks: Sequence[str]) -> Prototype:
    """One center's blocks as one prototype."""
    means = [tensors[f"{block}@mean"].astype(np.float64) for block in blocks]
    counts = [float(tensors[f"{block}@count"].item()) for block in blocks]
    ends = np.cumsum([mean.size for mean in means])
    scatter = np.zeros((ends[-1], ends[-1]))
    for block, mean, count, end in zip(blocks, means, counts, ends, strict=True):
        part = slice(end - mean.size, end)
        scatter[part, part] = tensors[f"{block}@scatter"] * (min(counts) / count)
    return Prototype(center, int(min(counts)), np.concatenate(means), scatter)
