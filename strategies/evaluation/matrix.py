"""The evaluation matrix of a continual study and what one reads off it: transfer, forgetting, intransigence.

    R[i, j]   score of center j after row i; row 0 is the model before the continual sequence, row T the last
    e_j       row at whose end center j's first training stage ended (`learned`); none when j never trained

    average             mean_j R[T, j]
    learning accuracy   mean_j R[e_j, j]
    incremental         mean_{i >= 1} mean_{j: e_j <= i} R[i, j]
    backward transfer   mean_{j: e_j < T} (R[T, j] - R[e_j, j])
    forward transfer    mean_{j: e_j >= 2} (R[e_j - 1, j] - R[0, j])
    b_j                 max_{e_j <= l < T} R[l, j], the best of a center before the last row
    forgetting          mean_{j: e_j < T} (b_j - R[T, j])
    relative forgetting mean_{j: e_j < T, b_j > 0} (b_j - R[T, j]) / b_j
    worst forgetting    max_{j: e_j < T} (b_j - R[T, j]), with its center
    intransigence       mean_j (J_j - R[e_j, j]), J_j the score of a model trained jointly on all centers up to j

With one center a row, e_j = j, these are the definitions of Lopez-Paz and Ranzato (2017, doi:10.48550/arXiv.1706.08840)
and Chaudhry et al. (2018, doi:10.1007/978-3-030-01252-6_33). Higher scores are better: negate a distance first (its
relative forgetting is then None). Scores against local training and over patients: `strategies.evaluation.fairness`.

NaN means not evaluated. A NaN cell is left out of means and maxima and counted in `undefined`; a metric that is
left with nothing to average is None, and so is a center's entry in what is given by center.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EvaluationMatrix:
    """R with its names. One matrix for each modality setting and score.

    Attributes:
        stages: name of each row; the first is the state before the continual sequence.
        centers: name of each column.
        values: R, (rows, centers); NaN where not evaluated.
        learned: e_j of each center, from 1 to the last row, or None.

    Raises:
        ValueError: no row, shapes that do not match the names, or e_j outside the rows.
    """

    stages: tuple[str, ...]
    centers: tuple[str, ...]
    values: Floats
    learned: tuple[int | None, ...]

    def __post_init__(self) -> None:
        expected = (len(self.stages), len(self.centers))
        if not self.stages or self.values.shape != expected or len(self.learned) != len(self.centers):
            raise ValueError(
                f"evaluation matrix has values {self.values.shape} and {len(self.learned)} learned rows, expected "
                f"{expected} for stages {self.stages} and centers {self.centers}, with at least one stage"
            )
        for center, row in zip(self.centers, self.learned, strict=True):
            if row is not None and not 1 <= row <= self.last:
                raise ValueError(f"center '{center}' learned in row {row}, expected 1 to {self.last} or None")

    @property
    def last(self) -> int:
        """T, the index of the last row."""
        return len(self.stages) - 1

    @property
    def undefined(self) -> int:
        """Number of cells without a value."""
        return int(np.isnan(self.values).sum())

    @property
    def average(self) -> float | None:
        """Mean over centers in the last row."""
        return _mean(self.values[-1])

    @property
    def learning_accuracy(self) -> float | None:
        """Mean over centers right after each was first learned."""
        return _mean([self.values[row, j] for j, row in self._centers_by(self.last)])

    @property
    def incremental(self) -> float | None:
        """Mean over rows of the mean over the centers learned by then."""
        means = [_mean([self.values[i, j] for j, _ in self._centers_by(i)]) for i in range(1, self.last + 1)]
        return _mean([mean for mean in means if mean is not None])

    @property
    def backward_transfer(self) -> float | None:
        """What later rows added to (or, negative, took from) centers learned before."""
        return _mean([self.values[-1, j] - self.values[row, j] for j, row in self._centers_by(self.last - 1)])

    @property
    def forward_transfer(self) -> float | None:
        """What earlier rows gave a center before it was learned itself."""
        return _mean([self.values[row - 1, j] - self.values[0, j] for j, row in self._centers_by(self.last) if row > 1])

    @property
    def forgetting(self) -> float | None:
        """How far centers learned before have fallen from their best; at least minus `backward_transfer`."""
        return _mean([best - last for _, best, last in self._falls()])

    @property
    def forgetting_by_center(self) -> dict[str, float | None]:
        """b_j - R[T, j] of each center learned before the last row."""
        return {self.centers[j]: _number(best - last) for j, best, last in self._falls()}

    @property
    def relative_forgetting(self) -> float | None:
        """Forgetting as a share of each center's best; a best that is not above 0 has no share."""
        return _mean([(best - last) / best for _, best, last in self._falls() if best > 0])

    @property
    def worst_forgetting(self) -> tuple[str, float] | None:
        """Center that fell the most and by how much (negative: all rose); the first named where several are equal."""
        falls = {center: fall for center, fall in self.forgetting_by_center.items() if fall is not None}
        return max(falls.items(), key=lambda pair: pair[1]) if falls else None

    @property
    def final(self) -> dict[str, float | None]:
        """Score of each center in the last row."""
        return {center: _number(score) for center, score in zip(self.centers, self.values[-1], strict=True)}

    def intransigence_by_center(self, joint: Mapping[str, float | None]) -> dict[str, float | None]:
        """J_j - R[e_j, j] of each learned center: what joint training would have reached and this order did not.

        Args:
            joint: J_j by center; None or absent where there is no such model.
        """
        learned = {self.centers[j]: self.values[row, j] for j, row in self._centers_by(self.last)}
        references = {center: joint.get(center) for center in learned}
        return {c: None if (j := references[c]) is None else _number(j - score) for c, score in learned.items()}

    def intransigence(self, joint: Mapping[str, float | None]) -> float | None:
        """Mean of `intransigence_by_center` (Chaudhry et al. 2018, definition 4)."""
        return _mean([value for value in self.intransigence_by_center(joint).values() if value is not None])

    @property
    def worst_center(self) -> tuple[str, float] | None:
        """Name and score of the lowest center in the last row; the first named where several are equal."""
        scores = self.values[-1]
        if np.isnan(scores).all():
            return None
        column = int(np.nanargmin(scores))
        return self.centers[column], float(scores[column])

    @property
    def standard_deviation(self) -> float | None:
        """Population standard deviation over the centers evaluated in the last row."""
        scores = _drop_undefined(self.values[-1])
        return float(scores.std()) if scores.size else None

    @property
    def spread(self) -> float | None:
        """Highest minus lowest center in the last row."""
        scores = _drop_undefined(self.values[-1])
        return float(np.ptp(scores)) if scores.size else None

    def until(self, row: int) -> "EvaluationMatrix":
        """The matrix as it stood after `row`: later rows cut, centers learned later not yet learned.

        Raises:
            ValueError: the matrix has no such row.
        """
        if not 0 <= row <= self.last:
            raise ValueError(f"evaluation matrix has rows 0 to {self.last}, found {row}")
        return EvaluationMatrix(
            stages=self.stages[: row + 1],
            centers=self.centers,
            values=self.values[: row + 1].copy(),
            learned=tuple(e if e is not None and e <= row else None for e in self.learned),
        )

    def _centers_by(self, row: int) -> list[tuple[int, int]]:
        """(j, e_j) of the centers with e_j <= row."""
        return [(j, e) for j, e in enumerate(self.learned) if e is not None and e <= row]

    def _falls(self) -> list[tuple[int, float, float]]:
        """(j, b_j, R[T, j]) of the centers with e_j < T; NaN where not evaluated."""
        return [(j, self._best(row, j), float(self.values[-1, j])) for j, row in self._centers_by(self.last - 1)]

    def _best(self, row: int, column: int) -> float:
        """Highest score of a center from `row` to before the last row; NaN where none was evaluated."""
        scores = _drop_undefined(self.values[row:-1, column])
        return float(scores.max()) if scores.size else float("nan")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _drop_undefined(terms: "Floats | list[float]") -> Floats:
    array = np.asarray(terms, dtype=np.float64)
    return array[~np.isnan(array)]


def _mean(terms: "Floats | list[float]") -> float | None:
    """Mean of the terms that are numbers; None without one."""
    defined = _drop_undefined(terms)
    return float(defined.mean()) if defined.size else None
