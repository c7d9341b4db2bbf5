"""One thing that left a center, and the mechanism that stood before it.

subsampled-gaussian   in each of `steps` steps every patient is drawn with probability `sample_rate`; the sum of
                      their contributions, none longer than C, leaves with noise N(0, (noise_multiplier C)^2)
gaussian              the same over all patients: `sample_rate` 1
none                  no noise: nothing is guaranteed of it. Scores and comparisons are of validation and test patients,
                      whom no guarantee covers (`OUTSIDE`)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

ReleaseKind = Literal["training", "fisher", "gram", "prototype", "comparison", "score", "audit"]
Mechanism = Literal["subsampled-gaussian", "gaussian", "none"]

KINDS: tuple[ReleaseKind, ...] = ("training", "fisher", "gram", "prototype", "comparison", "score", "audit")
MECHANISMS: tuple[Mechanism, ...] = ("subsampled-gaussian", "gaussian", "none")
OUTSIDE: frozenset[ReleaseKind] = frozenset({"comparison", "score"})
"""What stands on patients that do not train: blocks, rounding and the query budget protect them, no epsilon does."""


@dataclass(frozen=True)
class Release:
    """One thing that left, and what it cost.

    Args:
        kind: what it is made of.
        mechanism: what stood before it.
        noise_multiplier: standard deviation of the noise over the clipping norm C; 0 without a mechanism.
        sample_rate: probability of a patient to be drawn for one step; 1 where all are in it.
        steps: how many times the mechanism ran.
        study: whose release it is.
        stage: of which stage.
        server_round: of which round.

    Raises:
        ValueError: names every value that cannot be.
    """

    kind: ReleaseKind
    mechanism: Mechanism
    noise_multiplier: float
    sample_rate: float
    steps: int
    study: str
    stage: str
    server_round: int

    def __post_init__(self) -> None:
        if found := list(_findings(self)):
            raise ValueError(f"release of stage '{self.stage}', round {self.server_round}: " + "; ".join(found))

    @property
    def is_guaranteed(self) -> bool:
        """Whether a mechanism stood before it, so that it has a cost; of what has none no epsilon says anything."""
        return self.mechanism != "none"

    @property
    def is_unprotected(self) -> bool:
        """Whether it is of training patients and nothing bounds what it tells of them."""
        return self.mechanism == "none" and self.kind not in OUTSIDE


def release_without_guarantee(kind: ReleaseKind, study: str, stage: str, server_round: int) -> Release:
    """Something that leaves without a mechanism."""
    return Release(kind, "none", 0.0, 1.0, 1, study, stage, server_round)


def _findings(release: Release) -> Iterator[str]:
    if release.kind not in KINDS:
        yield f"kind is {release.kind!r}, expected one of {list(KINDS)}"
    if release.mechanism not in MECHANISMS:
        yield f"mechanism is {release.mechanism!r}, expected one of {list(MECHANISMS)}"
    if release.mechanism != "none" and not (math.isfinite(release.noise_multiplier) and release.noise_multiplier > 0):
        yield f"noise_multiplier is {release.noise_multiplier}, expected a finite number above 0"
    if release.mechanism == "none" and release.noise_multiplier != 0:
        yield f"noise_multiplier is {release.noise_multiplier}, expected 0 without a mechanism"
    if not 0 < release.sample_rate <= 1:
        yield f"sample_rate is {release.sample_rate}, expected above 0 and at most 1"
    if release.mechanism == "gaussian" and release.sample_rate != 1:
        yield f"sample_rate is {release.sample_rate}, expected 1 where all patients are in"
    if release.steps < 1:
        yield f"steps is {release.steps}, expected 1 or more"
