"""Feature mutual information of a fused image and its sources, on pixels (Haghighat et al. 2011; Fast-FMI, AICT 2014).

In every window of 3 x 3, column by column, the values of F and of a source, scaled to [0, 1], are taken for a
distribution p over the numbers 1 .. 9 of its pixels. Their joint distribution lies between independence and the Frechet
bound of the sign of their Pearson correlation c:

    H    = phi H_bound + (1 - phi) H_F H_A,   H_upper = min(H_F, H_A),  H_lower = max(H_F + H_A - 1, 0)   (cumulative)
    phi  = c / (cov_bound / (s_F s_A)),       cov_bound = sum over pairs of H_bound - H_F H_A
    fmi  = 2 I(F, A) / (E(F) + E(A))          I the mutual information, E entropies; 1 where F = A in the window

and FMI is the mean over windows of both sources' mean. This is the authors' function with the features "none".
"""

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 3
PIXELS = WINDOW * WINDOW


def fmi_pixel(fused: Tensor, first: Tensor, second: Tensor) -> float:
    """FMI of images (y, x); near 1 where the sources' information is kept.

    Raises:
        ValueError: an image has no window of 3 x 3.
    """
    if fused.ndim != 2 or min(fused.shape) < WINDOW:
        raise ValueError(f"FMI needs images (y, x) of at least {WINDOW} x {WINDOW}, found {tuple(fused.shape)}")
    windows = _windows(fused)
    return float(sum(_source_fmi(windows, _windows(source)).mean() for source in (first, second)) / 2)


def _windows(image: Tensor) -> Tensor:
    """All windows of an image (y, x), column by column: (windows, 9)."""
    # `unfold` goes row by row, so the image is given turned.
    return F.unfold(image.double().T[None, None], WINDOW)[0].T


def _source_fmi(fused: Tensor, source: Tensor) -> Tensor:
    """2 I / (E(F) + E(A)) of windows (n, 9): (n,)."""
    p, q = _distribution(fused), _distribution(source)
    cdf_p, cdf_q = p.cumsum(1)[:, :, None], q.cumsum(1)[:, None, :]
    product = cdf_p * cdf_q
    c = _correlation(p, q)
    bound = torch.where(c[:, None, None] >= 0, torch.minimum(cdf_p, cdf_q), (cdf_p + cdf_q - 1).clamp(min=0))
    deviations = _deviation(p) * _deviation(q)
    covariance = (bound - product).sum((1, 2))
    usable = (c != 0) & (deviations > 0) & (covariance != 0)
    phi = torch.where(usable, c * deviations / covariance.where(usable, torch.ones_like(c)), 0)[:, None, None]
    joint = phi * _density(bound) + (1 - phi) * _density(product)
    marginals = _entropy(p) + _entropy(q)
    information = marginals - _entropy(joint.flatten(1))
    share = torch.where(marginals > 0, 2 * information / marginals.where(marginals > 0, torch.ones_like(c)), 0)
    return torch.where((fused == source).all(1), torch.ones_like(share), share)


def _distribution(windows: Tensor) -> Tensor:
    """Windows scaled to [0, 1] and to a sum of one; even where a window is constant."""
    low, high = windows.amin(1, keepdim=True), windows.amax(1, keepdim=True)
    flat = high == low
    scaled = torch.where(
        flat, torch.ones_like(windows), (windows - low) / (high - low).where(~flat, torch.ones_like(low))
    )
    return scaled / scaled.sum(1, keepdim=True)


def _correlation(p: Tensor, q: Tensor) -> Tensor:
    """Pearson's, 0 where one of them is even."""
    p, q = p - p.mean(1, keepdim=True), q - q.mean(1, keepdim=True)
    scale = ((p * p).sum(1) * (q * q).sum(1)).sqrt()
    return torch.where(scale > 0, (p * q).sum(1) / scale.where(scale > 0, torch.ones_like(scale)), 0)


def _deviation(p: Tensor) -> Tensor:
    """Standard deviation of the number of a pixel drawn by p."""
    number = torch.arange(1, PIXELS + 1, dtype=p.dtype, device=p.device)
    return ((p * number**2).sum(1) - (p * number).sum(1) ** 2).clamp(min=0).sqrt()


def _density(cdf: Tensor) -> Tensor:
    """Of a cumulative distribution over pairs (n, 9, 9)."""
    padded = F.pad(cdf, (1, 0, 1, 0))
    return padded.diff(dim=1).diff(dim=2)


def _entropy(p: Tensor) -> Tensor:
    """In bits, over the last axis. The authors' function takes the real part, so a negative p counts by |p|."""
    size = p.abs()
    return -(p * size.where(size > 0, torch.ones_like(size)).log2()).sum(-1)
