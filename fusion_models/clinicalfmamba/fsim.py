"""The feature similarity index of two images: phase congruency and gradient (Zhang et al., IEEE TIP 20(8), 2011).

    S    = (2 PC_1 PC_2 + T1) / (PC_1^2 + PC_2^2 + T1) * (2 G_1 G_2 + T2) / (G_1^2 + G_2^2 + T2)
    FSIM = sum S max(PC_1, PC_2) / sum max(PC_1, PC_2),   T1 = 0.85, T2 = 160

G is Scharr's gradient of values from 0 to 255 (kernel / 16, zeros around the image). Images whose shorter side is 384
or more are averaged and thinned to about 256 first.

ClinicalFMamba's code leaves the values in [0, 1] with the same T2, sums Scharr's kernel undivided, and keeps it as
unsigned 16-bit numbers: rounded, what is negative lost. Next to T2 that gradient hardly counts. `fsim_unit` is that
variant with this phase congruency.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion_models.clinicalfmamba.phase_congruency import phase_congruency

T1, T2 = 0.85, 160.0
SCALE, SIDE = 255.0, 256
SCHARR = ((3.0, 0.0, -3.0), (10.0, 0.0, -10.0), (3.0, 0.0, -3.0))
LARGEST_WORD = 2**16 - 1


def fsim(x: Tensor, y: Tensor) -> float:
    """FSIM of images (y, x) in [0, 1], at the scale of 255; NaN where neither has any feature."""
    x, y = _thin(x.double() * SCALE), _thin(y.double() * SCALE)
    return _similarity(x, y, _gradient(x), _gradient(y))


def fsim_unit(x: Tensor, y: Tensor) -> float:
    """The variant of ClinicalFMamba's code, of images (y, x) in [0, 1]; NaN where neither has any feature."""
    x, y = x.double(), y.double()
    return _similarity(x, y, _integer_gradient(x), _integer_gradient(y))


def _similarity(x: Tensor, y: Tensor, gradient_x: Tensor, gradient_y: Tensor) -> float:
    """FSIM of images and their gradients, all (y, x)."""
    congruency_x, congruency_y = phase_congruency(x), phase_congruency(y)
    weight = torch.maximum(congruency_x, congruency_y)
    similarity = _match(congruency_x, congruency_y, T1) * _match(gradient_x, gradient_y, T2)
    return float((similarity * weight).sum() / weight.sum())


def _match(one: Tensor, other: Tensor, constant: float) -> Tensor:
    return (2 * one * other + constant) / (one**2 + other**2 + constant)


def _thin(image: Tensor) -> Tensor:
    """Means of k x k pixels, every k-th of them, k = shorter side / 256 rounded."""
    step = max(1, int(min(image.shape) / SIDE + 0.5))
    before, after = (step - 1) // 2, step // 2
    padded = F.pad(image[None, None], (before, after, before, after))
    return F.avg_pool2d(padded, step, stride=step)[0, 0] if step > 1 else image


def _scharr(image: Tensor, mode: str) -> Tensor:
    """Both components (2, y, x)."""
    kernel = torch.tensor(SCHARR, dtype=image.dtype, device=image.device)
    padded = F.pad(image[None, None], (1, 1, 1, 1), mode=mode)
    return F.conv2d(padded, torch.stack([kernel, kernel.T])[:, None])[0]


def _gradient(image: Tensor) -> Tensor:
    return (_scharr(image, "constant") / 16).norm(dim=0)


def _integer_gradient(image: Tensor) -> Tensor:
    # The sign of OpenCV's kernel, which correlates: what rises to the right is positive.
    return (-_scharr(image, "reflect")).round().clamp(0, LARGEST_WORD).norm(dim=0)
