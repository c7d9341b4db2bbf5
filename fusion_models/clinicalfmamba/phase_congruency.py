"""Phase congruency of an image: where its frequencies are in phase, whatever its contrast (Kovesi 1999, for FSIM).

    PC = sum_o max(E_o - T_o, 0) / sum_o sum_s A_so

over 4 orientations o and 4 scales s of log-Gabor filters (wavelengths 6, 12, 24, 48 pixels; sigma / f = 0.55). A_so is
the size of a filter's answer, E_o the energy of all scales in phase, T_o what noise would give, estimated by the
smallest scale's median. Constants as in the FSIM of Zhang et al. (IEEE TIP 20(8), 2011).
"""

import math

import torch
from torch import Tensor

SCALES, ORIENTATIONS = 4, 4
SHORTEST_WAVE, SCALING, BANDWIDTH = 6.0, 2.0, 0.55
ANGULAR_SIGMA = math.pi / ORIENTATIONS / 1.2
NOISE_SIGMAS, NOISE_SCALE = 2.0, 1.7
CUT_OFF, SHARPNESS = 0.45, 15
EPSILON = 1e-4


def phase_congruency(image: Tensor) -> Tensor:
    """PC of an image (y, x), in [0, 1]: (y, x) in float64."""
    image = image.double()
    spectrum = torch.fft.fft2(image)
    radius, angle = _polar_grid(image)
    scales = _log_gabors(radius)
    energy, amplitude = torch.zeros_like(image), torch.zeros_like(image)
    for number in range(ORIENTATIONS):
        filters = scales * _spread(angle, number * math.pi / ORIENTATIONS)
        answers = torch.fft.ifft2(spectrum * filters)
        energy += (_energy(answers) - _noise_threshold(answers[0], filters)).clamp(min=0)
        amplitude += answers.abs().sum(0)
    return energy / amplitude.clamp(min=EPSILON)


def _polar_grid(image: Tensor) -> tuple[Tensor, Tensor]:
    """Radius in cycles a pixel and angle of every frequency, in the order of the FFT; the radius of 0 is set to 1."""
    y, x = (torch.fft.fftfreq(size, dtype=image.dtype, device=image.device) for size in image.shape)
    radius = (y[:, None] ** 2 + x[None] ** 2).sqrt()
    radius[0, 0] = 1.0
    return radius, torch.atan2(-y[:, None].expand_as(radius), x[None].expand_as(radius))


def _log_gabors(radius: Tensor) -> Tensor:
    """The radial part of the filters (scales, y, x), without the mean and without the corners."""
    low_pass = 1 / (1 + (radius / CUT_OFF) ** (2 * SHARPNESS))
    frequencies = [1 / (SHORTEST_WAVE * SCALING**scale) for scale in range(SCALES)]
    found = torch.stack([torch.exp(-((radius / f).log() ** 2) / (2 * math.log(BANDWIDTH) ** 2)) for f in frequencies])
    found = found * low_pass
    found[:, 0, 0] = 0.0
    return found


def _spread(angle: Tensor, orientation: float) -> Tensor:
    """The angular part of the filters of an orientation."""
    distance = torch.atan2(torch.sin(angle - orientation), torch.cos(angle - orientation))
    return torch.exp(-(distance**2) / (2 * ANGULAR_SIGMA**2))


def _energy(answers: Tensor) -> Tensor:
    """What the scales' answers (scales, y, x) have in their mean direction, less what they have across it."""
    even, odd = answers.real, answers.imag
    mean_even, mean_odd = even.sum(0), odd.sum(0)
    length = (mean_even**2 + mean_odd**2).sqrt() + EPSILON
    mean_even, mean_odd = mean_even / length, mean_odd / length
    return (even * mean_even + odd * mean_odd - (even * mean_odd - odd * mean_even).abs()).sum(0)


def _noise_threshold(finest: Tensor, filters: Tensor) -> Tensor:
    """The energy of noise whose power is that of the finest scale's answers, at mean plus two deviations."""
    median = (finest.abs() ** 2).flatten().median()
    power = (median / math.log(2)) / (filters[0] ** 2).sum()
    kernels = torch.fft.ifft2(filters).real * math.sqrt(finest.numel())
    squares = (kernels**2).sum()
    products = (kernels.sum(0) ** 2).sum() - squares
    tau = ((2 * power * squares + 2 * power * products).clamp(min=0) / 2).sqrt()
    return tau * (math.sqrt(math.pi / 2) + NOISE_SIGMAS * math.sqrt(2 - math.pi / 2)) / NOISE_SCALE
