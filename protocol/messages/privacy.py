"""What a study asks of its centers' training for the sake of privacy: the guarantee, and how gradients are clipped.

    Pr[M(D) in S] <= e^epsilon Pr[M(D') in S] + delta        D and D' differ in all that a center has of one patient

M is everything that a center's training ever sends. Differential privacy: Dwork, McSherry, Nissim and Smith, TCC 2006;
of training: Abadi et al., arXiv 1607.00133. A center may hold to less epsilon, delta and clip_norm than a study asks
for (`client.home.own_privacy`), never to more.
"""

import math
from collections.abc import Collection
from typing import Any

from pydantic import PositiveFloat, PositiveInt, field_validator

from protocol.messages.base import Settings

Norms = PositiveFloat | dict[str, PositiveFloat]


def check_epsilon(value: Any) -> Any:
    """An epsilon that promises something; TOML can spell infinity and NaN.

    Raises:
        ValueError: it does not; says what to write.
    """
    if isinstance(value, int | float) and not 0 < value < math.inf:
        raise ValueError(
            f"found {value}; write a number above 0, such as 8 for little or 1 for much protection, or leave [privacy] "
            "out for no guarantee"
        )
    return value


def check_delta(value: Any) -> Any:
    """A delta that is a probability.

    Raises:
        ValueError: it is none; says what to write.
    """
    if isinstance(value, int | float) and not 0 < value < 1:
        raise ValueError(f"found {value}; write a probability between 0 and 1, below 1 / patients of each center")
    return value


class Privacy(Settings):
    """The guarantee of one study's training at each center.

    epsilon, delta: of the guarantee, for one patient and everything that training has ever sent of a center.
    clip_norm: C, the largest L2 norm of one patient's gradient over all that trains; or a table of tensor groups with a
    norm each, which are clipped apart, and C^2 is the sum of their squares.
    crops: of a sampled patient, whose mean loss gives the one gradient.
    maximum_noise: sigma / b, the noise of one value beside a clipping norm of 1 for the whole gradient, beyond which a
    center sits out a round: its update would be noise, and weigh in the mean as if it were none.
    """

    epsilon: float
    delta: float
    clip_norm: Norms
    crops: PositiveInt = 1
    maximum_noise: PositiveFloat = 1.0

    _epsilon = field_validator("epsilon", mode="before")(check_epsilon)
    _delta = field_validator("delta", mode="before")(check_delta)

    @field_validator("clip_norm")
    @classmethod
    def _something_is_clipped(cls, value: Norms) -> Norms:
        if value == {}:
            raise ValueError("found no group; write one number for all that trains, or a norm for each group")
        return value

    @property
    def sensitivity(self) -> float:
        """C, how far one patient can move the sum of a step."""
        return self.clip_norm if isinstance(self.clip_norm, float) else math.hypot(*self.clip_norm.values())

    def noise_finding(self, noise_multiplier: float, expected: float) -> str:
        """Why a round of so much noise over so many expected patients is not trained; "" where it is."""
        share = noise_multiplier / expected
        if share <= self.maximum_noise:
            return ""
        return (
            f"noise of {noise_multiplier:.3g} clipping norms over {expected:.3g} patient(s) expected a step is "
            f"{share:.3g} a value, beyond maximum_noise {self.maximum_noise:g}: the update would be noise"
        )

    def norm_findings(self, groups: Collection[str]) -> list[str]:
        """What is missing to clip these groups."""
        lacking = [] if isinstance(self.clip_norm, float) else sorted(set(groups) - set(self.clip_norm))
        names = ", ".join(f"privacy.clip_norm.{name}" for name in lacking)
        return [f"groups {lacking} train and have no clipping norm; write {names}, or one number"] if lacking else []
