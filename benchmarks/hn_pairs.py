"""Concordance over folds and repeats for benchmarks/hn_prognosis.py: pairs added up, patients resampled."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from client.data.preprocessing import PreparedCase
from strategies.evaluation.survival_metrics import ratio, sums_over_pairs

DRAWS = 2000
Floats = NDArray[np.float64]
Risks = dict[str, Floats]


class Judge:
    """Adds up concordant and comparable pairs over folds, in the patients themselves and in resamples of them."""

    def __init__(self, centers: Mapping[str, Sequence[PreparedCase]]) -> None:
        self.cases = [case for cases in centers.values() for case in cases]
        self.places = {case.name: place for place, case in enumerate(self.cases)}
        self.hospital = np.array([name for name, cases in centers.items() for _ in cases])
        self.times = np.array([case.targets["survival"] for case in self.cases], dtype=np.float64)
        count = len(self.cases)
        draws = np.random.default_rng(1).multinomial(count, np.full(count, 1 / count), DRAWS)
        self.weights = np.concatenate([np.ones((1, count)), draws])
        self.sums: dict[tuple[str, str, int], Floats] = {}

    def add(self, arm: str, risks: Risks, *, hospitals: Sequence[str] = ()) -> None:
        """Count the pairs of a fold's patients, of some hospitals alone where they are named."""
        places = np.array([self.places[name] for name in risks])
        if hospitals:
            places = places[np.isin(self.hospital[places], hospitals)]
        risk = np.full((len(self.cases), self.times.shape[1]), np.nan)
        for name, values in risks.items():
            risk[self.places[name]] = values
        for endpoint in range(self.times.shape[1]):
            self._count((arm, "cohort", endpoint), places, risk[:, endpoint], endpoint)
            for name in np.unique(self.hospital[places]):
                own = places[self.hospital[places] == name]
                self._count((arm, "within", endpoint), own, risk[:, endpoint], endpoint)
                self._count((arm, str(name), endpoint), own, risk[:, endpoint], endpoint)

    def _count(self, key: tuple[str, str, int], places: NDArray[np.int64], risk: Floats, endpoint: int) -> None:
        known = places[~np.isnan(risk[places])]
        days, event = self.times[known, endpoint].T
        found = np.stack(sums_over_pairs(days, event > 0, risk[known], self.weights[:, known]))
        self.sums[key] = self.sums.get(key, np.zeros_like(found)) + found

    def concordance(self, arm: str, pairs: str, endpoint: int) -> Floats:
        """In the patients (first) and in every resample; NaN where there is no pair."""
        return ratio(*self.sums[arm, pairs, endpoint])

    def mean(self, arm: str, pairs: str) -> Floats:
        """The plain mean over endpoints."""
        return np.mean([self.concordance(arm, pairs, endpoint) for endpoint in range(self.times.shape[1])], axis=0)


def interval(values: Floats) -> list[float]:
    """The figure itself and the ends of its 95 % interval over the resamples that define it."""
    return [float(values[0]), *np.nanquantile(values[1:], [0.025, 0.975]).tolist()]
