"""What a round sums, in which order: one row of numbers for each group of tensors, and one for the loss.

    row of group g = (w x, w, n / 2^20)      x all coordinates of g (`strategies.aggregation.schemes`), by key
    row of the loss = (1 * loss, 1, 0)

w is the center's weight and n its cases behind g; both are 0 where it has none, so that it neither aborts the sum nor
dilutes the mean. From the sum over the centers the mean is sum w x / sum w.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import SecureSumError
from protocol.messages.settings import Training
from protocol.messages.tensors import PEFT, TensorSpec, is_statistic, kind_of, role_of
from strategies.secure_sum.fixed_point import LARGEST, Values

LOSS = "loss"
"""The row beside those of the groups."""
MASKED = "masked."
"""What the key of a masked row begins with."""
CASES_UNIT = 2.0**20
"""Above the most cases of a center; a power of two, so that counts come back exactly."""
LEAST = 0.5
"""The least of its agreed most that a center weighs where it weighs anything (`client.masking.contribution`)."""
SLACK = 1e-6
"""Above what rounding to words moves the sum of MAXIMUM_CENTERS weights by."""
Layout = Mapping[str, Sequence[TensorSpec]]


@dataclass(frozen=True, eq=False)
class GroupMean:
    """What a sum says of a group: the mean of its coordinates by key, the sum of weights, the cases behind it."""

    coordinates: Mapping[str, NDArray[np.float64]]
    weight: float
    cases: int


def layout_of(specs: Iterable[TensorSpec], training: Training) -> dict[str, tuple[TensorSpec, ...]]:
    """Group -> the tensors that a round trains of it, by key; at every center alike, whatever its cases reach."""
    trained = [
        spec
        for spec in specs
        if kind_of(spec.group) in training.groups
        and not is_statistic(spec.key)
        and (kind_of(spec.group) != PEFT or role_of(spec.key) in training.roles)
    ]
    groups = sorted({spec.group for spec in trained})
    return {
        group: tuple(sorted((spec for spec in trained if spec.group == group), key=lambda spec: spec.key))
        for group in groups
    }


def size_of(specs: Iterable[TensorSpec]) -> int:
    """Numbers in the row of a group with these tensors; the loss is a row of one number and the same two beside."""
    return sum(int(np.prod(spec.shape)) for spec in specs) + 2


def masked_specs(layout: Layout) -> tuple[TensorSpec, ...]:
    """The tensors that travel: two halves of every number of every row."""
    sizes = {**{group: size_of(specs) for group, specs in layout.items()}, LOSS: 3}
    return tuple(TensorSpec(MASKED + name, MASKED + name, (2, size)) for name, size in sorted(sizes.items()))


def row_of(
    specs: Sequence[TensorSpec], coordinates: Mapping[str, NDArray[np.floating]], weight: float, cases: int
) -> Values:
    """The row of a group at a center with cases behind it.

    Raises:
        SecureSumError: a coordinate is missing or of another shape.
    """
    unfit = [spec.key for spec in specs if spec.key not in coordinates or coordinates[spec.key].shape != spec.shape]
    if unfit:
        raise SecureSumError(f"{len(unfit)} tensor(s) of a sum are missing or of another shape, first '{unfit[0]}'")
    values = [np.asarray(coordinates[spec.key], dtype=np.float64).reshape(-1) for spec in specs]
    return np.concatenate([weight * np.concatenate(values), [weight, cases / CASES_UNIT]])


def empty_row(specs: Sequence[TensorSpec]) -> Values:
    """The row of a group at a center without a case behind it."""
    return np.zeros(size_of(specs))


def loss_row(loss: float | None) -> Values:
    """The row of the loss; of zeros where it may not leave, or is larger than can be summed."""
    there = loss is not None and abs(loss) <= LARGEST
    return np.array([loss if there else 0.0, float(there), 0.0], dtype=np.float64)


def mean_of(total: Values, specs: Sequence[TensorSpec]) -> GroupMean:
    """What the sum of a group's rows says.

    Raises:
        SecureSumError: its weights do not add up to more than 0.
    """
    weight = float(total[-2])
    if not weight > 0:
        raise SecureSumError(f"the weights behind '{specs[0].group}' add up to {weight:g}, expected more than 0")
    means, found, start = total[:-2] / weight, {}, 0
    for spec in specs:
        size = int(np.prod(spec.shape))
        found[spec.key], start = means[start : start + size].reshape(spec.shape), start + size
    return GroupMean(found, weight, round(float(total[-1]) * CASES_UNIT))


def total_finding(mean: GroupMean, agreed: Mapping[str, float], behind: Mapping[str, int]) -> str:
    """What of a group's totals its centers cannot have sent; "" where nothing is.

    It bounds what a center says of its weight and cases, never its tensors: w x comes in one with w, and of what a
    hostile center put there nobody sees more than what it did to the mean.

    Args:
        mean: of the sum.
        agreed: center -> W.
        behind: center in the sum -> the cases that it registered.
    """
    most = sum(agreed.get(center, 0.0) for center in behind) / max(agreed.values())
    if not LEAST * most - SLACK <= mean.weight <= most + SLACK:
        return f"weights that add up to {mean.weight:.6g}, expected {LEAST * most:.6g} to {most:.6g}"
    cases = sum(behind.values())
    return f"{mean.cases} cases, expected {len(behind)} to {cases}" if not len(behind) <= mean.cases <= cases else ""
