"""Who takes part in a step: every patient with the same probability, whatever becomes of the others.

    P[patient p is in step t] = q,  independently for all p and t           Poisson sampling
    q = min(1, b / n)                                                        b patients expected of n

The accountant's amplification (Abadi et al., arXiv 1607.00133, section 3.1) is of exactly this: batches of a fixed
size, or crops in place of patients, have another. A step whose sample is empty is a step all the same.
"""

from collections.abc import Mapping
from typing import TypeVar

from client.privacy.secret_randomness import Randomness

T = TypeVar("T")


def sample_rate(expected: int, patients: int) -> float:
    """Q for `expected` patients a step of as many as there are; there must be one."""
    return min(1.0, expected / patients)


def sample_patients(patients: Mapping[str, T], rate: float, randomness: Randomness) -> list[T]:
    """What belongs to the patients of one step, in the order of their names."""
    drawn = randomness.random(len(patients)) < rate
    return [patients[name] for name, is_in in zip(sorted(patients), drawn, strict=True) if is_in]
