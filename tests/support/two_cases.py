"""A center's folder of two sound cases, and what a scan says of them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.data.manifest import Case, Manifest
from client.data.scan import scan_center
from client.data.volume import IDENTITY, Quantity, Volume, write_volume

Origin = tuple[float, float, float]

CENTER: Origin = (0.0, 0.0, 0.0)


SHAPE = (6, 8, 10)


def sound_ct() -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1000, 1500, SHAPE).astype(np.float32)


def sound_pet() -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(0, 12, (6, 4, 5)).astype(np.float32)


def sound_gtv() -> NDArray[np.uint8]:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, 3:5, 4:6] = 1
    return mask


def write_file(path: Path, array: NDArray, spacing_mm: float, quantity: Quantity, origin: Origin = CENTER) -> None:
    write_volume(Volume(array, (3.0, spacing_mm, spacing_mm), origin, IDENTITY, quantity), path)


def write_two_cases(root: Path) -> Path:
    """Two sound cases, "one" and "two"."""
    for name, shift in (("one", 0), ("two", 1)):
        write_file(root / name / "ct.nii.gz", sound_ct() + shift, 2.0, "ct_hu")
        write_file(root / name / "pet.nii.gz", sound_pet() + shift, 4.0, "pet_suv", origin=(1.0, 1.0, 0.0))
        write_file(root / name / "gtv.nii.gz", sound_gtv(), 2.0, "mask")
    return root


def scan(folder: Path) -> Manifest:
    return scan_center("a", [folder], ("ct", "pet"))


def case_of(manifest: Manifest, name: str = "one") -> Case:
    return next(case for case in manifest.cases if case.name == name)


def codes_of(case: Case) -> list[tuple[str, bool]]:
    return [(issue.code, issue.fatal) for issue in case.issues]
