"""What a fused volume keeps of its sources A and B: the figures of the task of fusion, for one case.

    ssim        mean of SSIM(F, A) and SSIM(F, B) in windows of 11^3; below 0 it counts as 0
    psnr        the same of PSNR in dB
    ms_ssim     the same of MS-SSIM, five scales and windows of 7^3
    fsim        the same of FSIM at the scale of 255, the mean over slices
    fmi_pixel   of both sources, the mean over slices
    entropy_*   of F, over its distinct values and over 256 bins
    ssim_NAME   SSIM of a baseline in place of F (`client.tasks.fusion_baselines`), and psnr_NAME

What two-dimensional figures see of a volume is SLICES axial slices, evenly spaced, however many there are. Undefined
(None) is a figure whose windows do not fit into the volume, a PSNR without an error, a figure of slices of which none
has any feature, and a baseline of one source alone. Variants and sources: `fusion_models.clinicalfmamba.metrics`.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.tasks.fusion_baselines import BASELINES
from fusion_models.clinicalfmamba.entropy import histogram_entropy, value_entropy
from fusion_models.clinicalfmamba.fmi import WINDOW as FMI_WINDOW
from fusion_models.clinicalfmamba.fmi import fmi_pixel
from fusion_models.clinicalfmamba.fsim import fsim
from fusion_models.clinicalfmamba.metrics import VOLUME_WINDOW, psnr
from fusion_models.clinicalfmamba.similarity import SCALE_WEIGHTS, WINDOW, ms_ssim, ssim

Image = NDArray[np.float32]
Figures = dict[str, float | None]
SLICES = 4
SMALLEST_MS_SSIM = VOLUME_WINDOW * 2 ** (len(SCALE_WEIGHTS) - 1)


@torch.no_grad()
def judge_fusion(fused: Image, ct: Image, pet: Image | None) -> Figures:
    """All figures of a fused volume (z, y, x) and its sources; without PET the CT is both of them."""
    f, a, b = (torch.from_numpy(np.ascontiguousarray(image)) for image in (fused, ct, ct if pet is None else pet))
    found: Figures = {**_similarities(f, a, b), **_figures_of_slices(f, a, b)}
    found |= {"entropy_values": value_entropy(f), "entropy_256": histogram_entropy(f)}
    for name, fuse in BASELINES.items():
        simple = None if pet is None else torch.from_numpy(fuse(ct, pet))
        for figure, judge in (("ssim", mean_ssim), ("psnr", mean_psnr)):
            found[f"{figure}_{name}"] = None if simple is None else judge(simple, a, b)
    return found


def mean_ssim(f: Tensor, a: Tensor, b: Tensor) -> float | None:
    """Of volumes (z, y, x), in [0, 1]; None where a side is below 11."""
    return _in_0_and_1(_mean(ssim, f, a, b)) if min(f.shape) >= WINDOW else None


def mean_psnr(f: Tensor, a: Tensor, b: Tensor) -> float | None:
    """In dB; None where F is one of its sources."""
    found = (psnr(f, a) + psnr(f, b)) / 2
    return found if math.isfinite(found) else None


def _similarities(f: Tensor, a: Tensor, b: Tensor) -> Figures:
    multi = _in_0_and_1(_mean(ms_ssim_of_volumes, f, a, b)) if min(f.shape) >= SMALLEST_MS_SSIM else None
    return {"ssim": mean_ssim(f, a, b), "psnr": mean_psnr(f, a, b), "ms_ssim": multi}


def ms_ssim_of_volumes(x: Tensor, y: Tensor) -> Tensor:
    """MS-SSIM (b,) of volumes (b, 1, z, y, x) of at least 112 a side."""
    return ms_ssim(x, y, window=VOLUME_WINDOW)


def _figures_of_slices(f: Tensor, a: Tensor, b: Tensor) -> Figures:
    """FSIM and FMI, means over the slices that define them."""
    places = np.unique(np.linspace(0, len(f) - 1, SLICES + 2)[1:-1].round().astype(int)).tolist()
    slices = [(f[z], a[z], b[z]) for z in places]
    wide = min(f.shape[1:]) >= FMI_WINDOW
    return {
        "fsim": _mean_of_defined((fsim(x, y) + fsim(x, z)) / 2 for x, y, z in slices),
        "fmi_pixel": _mean_of_defined(fmi_pixel(*images) for images in slices) if wide else None,
    }


def _mean(similarity: Callable[[Tensor, Tensor], Tensor], f: Tensor, a: Tensor, b: Tensor) -> float:
    one, other = (similarity(f[None, None], source[None, None]) for source in (a, b))
    return float(one + other) / 2


def _mean_of_defined(found: Iterable[float]) -> float | None:
    defined = list(_defined(found))
    return _in_0_and_1(math.fsum(defined) / len(defined)) if defined else None


def _defined(found: Iterable[float]) -> Iterator[float]:
    return (value for value in found if math.isfinite(value))


def _in_0_and_1(value: float) -> float:
    return min(1.0, max(0.0, value))
