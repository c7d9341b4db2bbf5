"""Prepared cases with a contour, as tests make them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.data.preprocessing import SEGMENTATION, PreparedCase


def masked(name: str, ct: NDArray | None, pet: NDArray | None, mask: NDArray[np.uint8] | None) -> PreparedCase:
    """A case of images and a contour, each of which may be absent."""
    return PreparedCase(name, ct, pet, {} if mask is None else {SEGMENTATION: mask})


def mask_of(case: PreparedCase) -> NDArray[Any]:
    """The contour of a case that has one."""
    return case.targets[SEGMENTATION]
