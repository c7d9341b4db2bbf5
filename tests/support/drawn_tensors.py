"""Tensors of given shapes, drawn, and tensors as bits that can be compared."""

import numpy as np
from numpy.typing import NDArray

from protocol.messages.tensors import Tensors, role_of

Array = NDArray[np.float32]


def drawn(seed: int, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    tensors = {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
    return {key: np.abs(array) + 8 if role_of(key) == "magnitude" else array for key, array in tensors.items()}


def bits(tensors: Tensors) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {key: (array.shape, array.tobytes()) for key, array in tensors.items()}
