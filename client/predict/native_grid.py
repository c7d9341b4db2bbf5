"""From the study's grid back to the grid of the scan: the probability is moved, and cut at one half there.

Moving the network's classes instead would carry the steps of the study's grid into the scan's.
"""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from client.data.preprocessing import resample, study_grid
from client.data.volume import Volume, to_image
from protocol.messages.settings import Preprocessing

CUT = 0.5


def move_to_scan(probability_zyx: NDArray[np.float32], scan: Volume, settings: Preprocessing) -> NDArray[np.float32]:
    """The probability on the grid of the scan that the study's grid was laid over, (z, y, x) of the scan.

    Raises:
        ValueError: the probability is not of that study grid.
    """
    native = to_image(scan)
    grid = study_grid(native, settings.spacing_zyx_mm)
    image = sitk.GetImageFromArray(probability_zyx)
    if image.GetSize() != grid.GetSize():
        raise ValueError(f"probability of size xyz {image.GetSize()}, expected {grid.GetSize()}")
    image.CopyInformation(grid)
    return resample(image, native, outside=0.0)


def cut(probability_zyx: NDArray[np.float32], scan: Volume) -> Volume:
    """The mask on the scan's grid: 1 from a probability of one half on."""
    mask = (probability_zyx >= CUT).astype(np.uint8)
    return Volume(mask, scan.spacing_zyx_mm, scan.origin_xyz_mm, scan.direction, "mask")
