"""A case's covariates as one vector, by the constants of the study, so that an entry means the same at every center.

    number    z = (value - mean) / standard deviation, m = 0        missing: z = 0, m = 1
    category  one-hot over the study's values, m = 0                missing: all 0, m = 1

in the order in which the study names its covariates. A case that has none of them has no vector: it lacks the modality.
"""

from collections.abc import Mapping

from protocol.messages.labels import Covariate, Number

Value = float | int | None
"""A number, the index of a category's value, or None where it is missing."""


def encode(values: Mapping[str, Value], covariates: Mapping[str, Covariate]) -> tuple[float, ...] | None:
    """The vector, of the study's `covariate_width`; None where every covariate is missing."""
    if all(values[name] is None for name in covariates):
        return None
    return tuple(entry for name, covariate in covariates.items() for entry in _entries(values[name], covariate))


def _entries(value: Value, covariate: Covariate) -> tuple[float, ...]:
    if value is None:
        return (*[0.0] * (covariate.width - 1), 1.0)
    if isinstance(covariate, Number):
        return (value - covariate.mean) / covariate.standard_deviation, 0.0
    return (*[float(index == value) for index in range(len(covariate.values))], 0.0)
