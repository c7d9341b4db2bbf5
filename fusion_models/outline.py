"""A model for its names and shapes alone: built without memory for its weights where its constructors allow it."""

from collections.abc import Callable

import torch
from torch import nn


def outline(build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` builds, on the meta device; with its weights where a constructor reads a value of a tensor.

    PyTorch has no values on that device and raises RuntimeError where `.item()` asks for one (MONAI's SwinTransformer
    reads its drop rates so). Then the shapes cost as much memory as the weights, for as long as the caller keeps them.

    Raises:
        Exception: whatever `build` raises on the CPU.
    """
    try:
        with torch.device("meta"):
            return build()
    except (RuntimeError, NotImplementedError):
        return build()
