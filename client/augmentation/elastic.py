"""Elastic: a crop bent by a smooth field, a cubic B-spline over a coarse grid of control points.

    d(t) = B_0(u) c_k + B_1(u) c_(k+1) + B_2(u) c_(k+2) + B_3(u) c_(k+3)    k = floor(t), u = t - k, t = mm / CONTROL_MM
    B_0 = (1 - u)^3 / 6, B_1 = (3u^3 - 6u^2 + 4) / 6, B_2 = (-3u^3 + 3u^2 + 3u + 1) / 6, B_3 = u^3 / 6

along each axis, their product in space (Rueckert et al. 1999, IEEE TMI 18:712). Displacements of control points are
uniform up to LARGEST_MM. Below CONTROL_MM / 2.48 = 19.4 mm nothing folds (Choi and Lee 2000, Graphical Models 62:411).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CONTROL_MM, LARGEST_MM = 48.0, 16.0


@dataclass(frozen=True)
class Elastic:
    """Displacements of the control points in mm along z, y, x: (3, k_z, k_y, k_x)."""

    control_mm: NDArray[np.float32]


def draw_elastic(
    size_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], still: set[int], rng: np.random.Generator
) -> Elastic:
    """Control points over a crop; along the axes that are `still` nothing moves."""
    counts = [knots(n, spacing) for n, spacing in zip(size_zyx, spacing_zyx_mm, strict=True)]
    control = rng.uniform(-LARGEST_MM, LARGEST_MM, size=(3, *counts)).astype(np.float32)
    control[sorted(still)] = 0
    return Elastic(control)


def knots(n: int, spacing_mm: float) -> int:
    """Control points along an axis of n voxels."""
    return int((n - 1) * spacing_mm / CONTROL_MM) + 4


def field_mm(
    elastic: Elastic, size_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], device: torch.device
) -> Tensor:
    """The displacement of every voxel in mm along z, y, x: (3, z, y, x)."""
    weights = [
        torch.from_numpy(basis(n, spacing)).to(device) for n, spacing in zip(size_zyx, spacing_zyx_mm, strict=True)
    ]
    return torch.einsum("ckji,zk,yj,xi->czyx", torch.from_numpy(elastic.control_mm).to(device), *weights)


def basis(n: int, spacing_mm: float) -> NDArray[np.float32]:
    """How much of each control point is in the displacement of each of n voxels, (n, control points)."""
    places = np.arange(n) * spacing_mm / CONTROL_MM
    first = places.astype(int)
    u = places - first
    parts = (1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3
    weights = np.zeros((n, knots(n, spacing_mm)), np.float32)
    for offset, part in enumerate(parts):
        weights[np.arange(n), first + offset] = part / 6
    return weights
