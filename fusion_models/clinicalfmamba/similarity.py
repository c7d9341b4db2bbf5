"""SSIM and MS-SSIM of images in [0, 1], in 2D and 3D, for losses and metrics; Gaussian window, sigma 1.5.

    SSIM    = mean (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x + s_y + C2)),  C1 = 0.01^2, C2 = 0.03^2
    MS-SSIM = prod_i cs_i^w_i * SSIM_last^w_last,  cs the second of both fractions, sides halved by averages in between

(Wang et al., IEEE TIP 13(4), 2004; Asilomar 2003.) MONAI's functions give the same numbers for windows that lie inside
the image; they have no zero border, which the loss needs, and their dense window of 11^3 takes about twenty times as
long as the product of banded matrices here, one an axis.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

C1, C2 = 0.01**2, 0.03**2
WINDOW, SIGMA = 11, 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim(x: Tensor, y: Tensor, *, window: int = WINDOW) -> Tensor:
    """SSIM of each pair (b, 1, *size) over the windows inside the image: (b,).

    Raises:
        ValueError: a side is shorter than the window.
    """
    _check_window(x, window, scales=1)
    luminance, structure = _ssim_maps(x, y, window, border=0)
    return _mean(luminance * structure)


def ssim_zero_border(x: Tensor, y: Tensor, *, window: int = WINDOW) -> Tensor:
    """SSIM of each pair (b, 1, *size), a window at every position and zeros around the image: (b,)."""
    luminance, structure = _ssim_maps(x, y, window, border=window // 2)
    return _mean(luminance * structure)


def ms_ssim(x: Tensor, y: Tensor, *, window: int = WINDOW, scales: int = len(SCALE_WEIGHTS)) -> Tensor:
    """MS-SSIM of each pair (b, 1, *size): (b,). With fewer scales the first weights are used, scaled to sum to one.

    Raises:
        ValueError: the smallest scale has a side shorter than the window.
    """
    _check_window(x, window, scales=scales)
    weights = torch.tensor(SCALE_WEIGHTS[:scales], dtype=x.dtype, device=x.device)
    pool = F.avg_pool2d if x.ndim == 4 else F.avg_pool3d
    found = []
    for scale in range(scales):
        luminance, structure = _ssim_maps(x, y, window, border=0)
        found.append(_mean(luminance * structure if scale == scales - 1 else structure).clamp(min=0))
        x, y = pool(x, 2), pool(y, 2)
    return (torch.stack(found, dim=-1) ** (weights / weights.sum())).prod(-1)


def _ssim_maps(x: Tensor, y: Tensor, window: int, *, border: int) -> tuple[Tensor, Tensor]:
    """Both fractions at every window's position."""
    moments = torch.cat([x, y, x * x, y * y, x * y], dim=1)
    mean_x, mean_y, xx, yy, xy = _blur(moments, window, border).unbind(1)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    spread = (xx - mean_x**2) + (yy - mean_y**2)
    return luminance, (2 * (xy - mean_x * mean_y) + C2) / (spread + C2)


def _blur(x: Tensor, window: int, border: int) -> Tensor:
    """Windowed means of (b, c, *size), along one axis after the other."""
    for axis in range(2, x.ndim):
        band = _band(x.shape[axis], window, border, x)
        x = (band @ x.flatten(axis + 1)).unflatten(-1, x.shape[axis + 1 :]) if axis < x.ndim - 1 else x @ band.T
    return x


def _band(length: int, window: int, border: int, like: Tensor) -> Tensor:
    """The window at every position of a line, as a matrix (positions, length)."""
    offsets = torch.arange(window, dtype=torch.float64, device=like.device) - (window - 1) / 2
    kernel = torch.exp(-((offsets / SIGMA) ** 2) / 2)
    positions = length + 2 * border - window + 1
    rows = torch.arange(positions, device=like.device)[:, None]
    columns = rows + torch.arange(window, device=like.device)
    padded = torch.zeros(positions, length + 2 * border, dtype=torch.float64, device=like.device)
    padded = padded.scatter(1, columns, (kernel / kernel.sum()).expand(positions, -1))
    return padded[:, border : border + length].to(like.dtype)


def _mean(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1)


def _check_window(x: Tensor, window: int, *, scales: int) -> None:
    least = window * 2 ** (scales - 1)
    if min(x.shape[2:]) < least:
        raise ValueError(
            f"{scales} scale(s) of SSIM with a window of {window} need sides of at least {least}, found "
            f"{tuple(x.shape[2:])}; take fewer scales or a smaller window"
        )
