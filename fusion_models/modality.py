"""Which modalities a case has, and modality dropout over them. Absent is never zero: it is None all the way down."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, TypeVar

import numpy as np
from torch import Tensor

Setting = TypeVar("Setting", bound=str)

MODALITIES = ("ct", "pet", "ehr")
SETTINGS = tuple("+".join(some) for count in (1, 2, 3) for some in combinations(MODALITIES, count))
"""Every input that can be made of them, fewest modalities first."""


class Inputs(NamedTuple):
    """What a network is given of cases: images (b, 1, z, y, x) and an EHR vector (b, covariates), or None."""

    ct: Tensor | None
    pet: Tensor | None
    ehr: Tensor | None = None


def settings_of(modalities: Iterable[str]) -> tuple[str, ...]:
    """The settings that a set of modalities can serve, the fullest one last."""
    present = set(modalities)
    return tuple(setting for setting in SETTINGS if set(setting.split("+")) <= present)


def runnable_settings(modalities: Iterable[str], model_settings: Iterable[str]) -> tuple[str, ...]:
    """The settings that both a case's modalities and the model allow, the fullest one last."""
    allowed = set(model_settings)
    return tuple(setting for setting in settings_of(modalities) if setting in allowed)


def renormalise(shares: Mapping[Setting, float], available: Iterable[str]) -> dict[Setting, float]:
    """Shares restricted to the available settings, scaled to sum to one (PEMMA: ct+pet 0.6, ct 0.2, pet 0.2).

    Raises:
        ValueError: no available setting has a positive share.
    """
    allowed = set(available)
    kept = {name: share for name, share in sorted(shares.items()) if name in allowed and share > 0}
    if not kept:
        raise ValueError(f"modality shares {dict(shares)} leave nothing to train on; available: {sorted(allowed)}")
    total = sum(kept.values())
    return {name: share / total for name, share in kept.items()}


def draw_setting(shares: Mapping[Setting, float], rng: np.random.Generator) -> Setting:
    """One modality setting, drawn with the given shares."""
    names = sorted(shares)
    return names[int(rng.choice(len(names), p=[shares[name] for name in names]))]


def restrict(setting: str, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Inputs:
    """The inputs that `setting` accepts; the others become None."""
    accepted = setting.split("+")
    given = zip(MODALITIES, (ct, pet, ehr), strict=True)
    return Inputs(*(found if name in accepted else None for name, found in given))


def present(ct: Tensor | None, pet: Tensor | None, shape: Sequence[int]) -> dict[str, Tensor]:
    """The images that are there, by modality, CT first.

    Args:
        shape: what each must have after its batch axis.

    Raises:
        ValueError: both are absent, or one has another shape.
    """
    images = {name: image for name, image in (("ct", ct), ("pet", pet)) if image is not None}
    if not images:
        raise ValueError("a case needs CT, PET or both; found neither")
    for name, image in images.items():
        if tuple(image.shape[1:]) != tuple(shape):
            expected = ", ".join(map(str, shape))
            raise ValueError(f"{name} must have shape (b, {expected}), found {tuple(image.shape)}")
    return images
