"""A small case to look at: a block of tumour in a body, anisotropic CT, coarser PET, as files and as volumes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from client.data.manifest import File, Manifest
from client.data.scan import scan_center
from client.data.volume import IDENTITY, Volume, write_volume

SPACING_ZYX_MM = (4.0, 1.0, 1.0)
TUMOUR = (slice(3, 6), slice(10, 20), slice(24, 34))


def viewed_volumes() -> dict[File, Volume]:
    """CT of 10 x 30 x 40 voxels, -1000 HU around 60 HU; PET of 2 mm in the plane, SUV 8 in the tumour; its contour."""
    hu = np.full((10, 30, 40), -1000, np.float32)
    hu[:, 3:27, 3:37] = 60
    mask = np.zeros(hu.shape, np.uint8)
    mask[TUMOUR] = 1
    suv = np.full((10, 15, 20), 0.5, np.float32)
    suv[3:6, 5:10, 12:17] = 8
    return {
        "ct": Volume(hu, SPACING_ZYX_MM, (0.0, 0.0, 0.0), IDENTITY, "ct_hu"),
        "pet": Volume(suv, (4.0, 2.0, 2.0), (0.5, 0.5, 0.0), IDENTITY, "pet_suv"),
        "gtv": Volume(mask, SPACING_ZYX_MM, (0.0, 0.0, 0.0), IDENTITY, "mask"),
    }


def write_case(folder: Path, volumes: Mapping[Any, Volume]) -> None:
    """The files of one case."""
    for file, volume in volumes.items():
        write_volume(volume, folder / f"{file}.nii.gz")


def viewed_center(root: Path) -> Manifest:
    """Three cases: "both" is complete, "plain" has no contour, "sole" no PET and a contour of wrong values."""
    volumes = viewed_volumes()
    write_case(root / "both", volumes)
    ct, pet = (replace(volumes[file], array_zyx=volumes[file].array_zyx * np.float32(1.01)) for file in ("ct", "pet"))
    write_case(root / "plain", {"ct": ct, "pet": pet})
    wrong = replace(volumes["gtv"], array_zyx=volumes["gtv"].array_zyx * 7)
    write_case(root / "sole", {"ct": replace(volumes["ct"], array_zyx=volumes["ct"].array_zyx + 5), "gtv": wrong})
    return scan_center("hgj", [root], ("ct", "pet"))
