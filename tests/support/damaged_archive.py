"""A made archive, ways to damage it, and whether what is read of it afterwards is silently wrong."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.data.volume import Volume, same_grid
from client.dicom.findings import RefusedSeriesError
from client.dicom.image_series import read_ct, read_stored_pet
from client.dicom.pairing import pair_studies
from tests.support.dicom_study import MadeGrid, MadeStudy, square, write_ct, write_pet, write_rtstruct
from tests.support.indexed import SUBJECT, index

Damage = Callable[[list[Path], random.Random], Path]


@dataclass(frozen=True)
class Reading:
    """All volumes of an archive by modality, and whether anything was told."""

    volumes: dict[str, Volume]
    told: bool


def make_archive(folder: Path) -> list[Path]:
    """CT of 8 and PET of 6 slices of one patient with contours; every value differs from its neighbours."""
    rng = np.random.default_rng(5)
    study = MadeStudy(study_uid="1.2.826.1.1", frame_of_reference_uid="1.2.826.1.2")
    hu = rng.integers(-1000, 1500, (8, 12, 10)).astype(float)
    activity = rng.random((6, 7, 8)) * 9000
    ct = write_ct(folder / "ct", study, hu, MadeGrid((3.0, 2.0, 2.0), (-10.0, -12.0, 4.0)))
    pet = write_pet(folder / "pet", study, activity, MadeGrid((4.0, 3.0, 3.0), (-11.0, -11.0, 3.0)))
    contours = write_rtstruct(folder / "rs.dcm", study, ct, {"GTV": [square((0.0, 0.0), 6.0, 10.0)]})
    return [*ct, *pet, contours]


def read_all(folder: Path) -> Reading:
    """Everything that an archive gives; only RefusedSeriesError may be raised on the way."""
    series, found = index(folder)
    cases, about = pair_studies(series)
    issues = [*found, *about, *(issue for case in cases for issue in case.issues)]
    volumes = {}
    for case in cases:
        for name, image in (("ct", case.ct), ("pet", case.pet)):
            try:
                if image:
                    read = read_ct(image, SUBJECT) if name == "ct" else read_stored_pet(image, SUBJECT)
                    issues += read[-1]
                    volumes[name] = read[0]
            except RefusedSeriesError as error:
                issues += error.issues
    return Reading(volumes, any(issue.grade != "note" for issue in issues))


def flip_anywhere(files: list[Path], rng: random.Random) -> Path:
    path = rng.choice(files)
    flip(path, rng.randrange(path.stat().st_size), rng)
    return path


def flip_behind_preamble(files: list[Path], rng: random.Random) -> Path:
    """In the tags, since pixels and preamble are most of a file."""
    path = rng.choice(files)
    content = path.read_bytes()
    end = content.find(b"\xe0\x7f\x10\x00")
    flip(path, rng.randrange(128, end if end > 0 else len(content)), rng)
    return path


def flip(path: Path, at: int, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(files: list[Path], rng: random.Random) -> Path:
    path = rng.choice(files)
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    return path


def blank(files: list[Path], rng: random.Random) -> Path:
    """As a bad sector reads: zeros."""
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    content[at : at + 64] = bytes(len(content[at : at + 64]))
    path.write_bytes(content)
    return path


DAMAGES: dict[str, Damage] = {
    "flip": flip_anywhere,
    "flip-tags": flip_behind_preamble,
    "truncate": truncate,
    "blank": blank,
}


def rename(files: list[Path], rng: random.Random) -> list[Path]:
    """Meaningless names over meaningless folders, in any order."""
    folder = files[0].parents[1]
    moved = []
    for number, path in enumerate(rng.sample(files, len(files))):
        new = folder / f"d{rng.randrange(3)}" / f"{rng.randrange(10**6):06d}-{number}{rng.choice(['', '.dcm', '.txt'])}"
        new.parent.mkdir(exist_ok=True)
        moved.append(path.rename(new))
    return moved


def silently_wrong(reading: Reading, whole: Reading, before: bytes, after: bytes) -> bool:
    """Whether nothing was told of a damage that changed a volume and that a reader could have seen."""
    return not (reading.told or is_same(reading, whole) or cannot_be_seen(before, after))


def is_same(reading: Reading, whole: Reading) -> bool:
    return reading.volumes.keys() == whole.volumes.keys() and all(
        np.array_equal(reading.volumes[name].array_zyx, volume.array_zyx) and same_grid(reading.volumes[name], volume)
        for name, volume in whole.volumes.items()
    )


def cannot_be_seen(before: bytes, after: bytes) -> bool:
    """Whether files of one length differ in pixels alone, or in the slope of a PET slice."""
    if len(before) != len(after):
        return False
    changed = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    pixels = before.find(b"\xe0\x7f\x10\x00OW") + 12
    slope = before.find(b"\x28\x00\x53\x10DS") + 8
    in_slope = b"PT" in before and all(slope <= at < slope + 16 for at in changed)
    return in_slope or (pixels > 12 and all(at >= pixels for at in changed))
