"""FMI on pixels against the authors' function written out in loops, and its limits."""

import math

import pytest
import torch

from fusion_models.clinicalfmamba.fmi import fmi_pixel


def distribution(window: list[float]) -> list[float]:
    low, high = min(window), max(window)
    scaled = [1.0] * 9 if low == high else [(value - low) / (high - low) for value in window]
    return [value / sum(scaled) for value in scaled]


def entropy(p: list[float]) -> float:
    return -sum(x * math.log2(abs(x)) for x in p if x != 0)


def window_fmi(fused: list[float], source: list[float]) -> float:
    """One window and one source, after Fast-FMI."""
    if fused == source:
        return 1.0
    p, q = distribution(fused), distribution(source)
    cdf_p, cdf_q = ([sum(x[: i + 1]) for i in range(9)] for x in (p, q))
    centred_p, centred_q = ([value - sum(x) / 9 for value in x] for x in (p, q))
    cross = sum(a * b for a, b in zip(centred_p, centred_q, strict=True))
    spread = math.sqrt(sum(a * a for a in centred_p) * sum(b * b for b in centred_q))
    c = cross / spread if spread else 0.0
    deviations = 1.0
    for x in (p, q):
        mean = sum((i + 1) * value for i, value in enumerate(x))
        deviations *= math.sqrt(sum((i + 1) ** 2 * value for i, value in enumerate(x)) - mean**2)

    def bound(i: int, j: int) -> float:
        if min(i, j) < 0:
            return 0.0
        return min(cdf_p[i], cdf_q[j]) if c >= 0 else max(cdf_p[i] + cdf_q[j] - 1, 0.0)

    covariance = sum(bound(i, j) - cdf_p[i] * cdf_q[j] for i in range(9) for j in range(9))
    phi = c / (covariance / deviations) if c and deviations else 0.0
    joint = [
        phi * (bound(i, j) - bound(i - 1, j) - bound(i, j - 1) + bound(i - 1, j - 1)) + (1 - phi) * p[i] * q[j]
        for i in range(9)
        for j in range(9)
    ]
    return 2 * (entropy(p) + entropy(q) - entropy(joint)) / (entropy(p) + entropy(q))


def windows(image: torch.Tensor) -> list[list[float]]:
    """Column by column, as MATLAB lists a matrix."""
    y, x = image.shape
    return [image[i : i + 3, j : j + 3].T.flatten().tolist() for i in range(y - 2) for j in range(x - 2)]


def test_equals_the_authors_function() -> None:
    torch.manual_seed(0)
    fused, first, second = torch.rand(3, 5, 6, dtype=torch.float64)
    second[:3, :3] = 0.5
    first[2:, 3:] = fused[2:, 3:]
    expected = [
        (window_fmi(f, a) + window_fmi(f, b)) / 2
        for f, a, b in zip(windows(fused), windows(first), windows(second), strict=True)
    ]
    assert fmi_pixel(fused, first, second) == pytest.approx(sum(expected) / len(expected), abs=1e-9)


def test_sources_that_are_the_fused_image_give_1_and_their_order_does_not_matter() -> None:
    fused, first, second = torch.rand(3, 6, 5)
    assert fmi_pixel(fused, fused, fused) == 1
    assert fmi_pixel(fused, first, second) == pytest.approx(fmi_pixel(fused, second, first))


def test_constant_images_are_finite() -> None:
    flat = torch.zeros(4, 4)
    assert math.isfinite(fmi_pixel(flat, torch.rand(4, 4), flat + 1))


def test_volumes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 3 x 3, found \(4, 4, 4\)"):
        fmi_pixel(*torch.rand(3, 4, 4, 4))
