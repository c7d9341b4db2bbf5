"""Files that are truncated, shuffled, renamed or bit-flipped neither crash a reading nor give a silently wrong case.

What is compared: every case of a made archive, voxel by voxel and in its place, with the one read before the damage.
After it a case is the same, or some issue (a warning or an error) says that something is wrong, or it is refused.
Two things no reader can see, and they are allowed for by name: flipped bits of uncompressed pixels, which change these
pixels alone; and a flipped bit in the slope of one PET slice, a number that every slice has of its own. (A flipped bit
of a compressed image that still decodes is as invisible, and changes more than a pixel.)
`benchmarks/dicom_fuzz.py` does the same for as long as one likes.
"""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.damaged_archive import DAMAGES, Reading, make_archive, read_all, rename, silently_wrong

TRIALS = 25


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    make_archive(folder)
    return folder


@pytest.fixture(scope="module")
def whole(archive: Path) -> Reading:
    return read_all(archive)


def test_the_whole_archive_is_read_without_a_word(whole: Reading) -> None:
    assert {name: volume.shape_zyx for name, volume in whole.volumes.items()} == {"ct": (8, 12, 10), "pet": (6, 7, 8)}
    assert not whole.told


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_and_renamed_files_give_the_same_voxels(tmp_path: Path, whole: Reading, seed: int) -> None:
    rename(make_archive(tmp_path), random.Random(seed))
    reading = read_all(tmp_path)
    assert not reading.told
    for name, volume in whole.volumes.items():
        np.testing.assert_array_equal(reading.volumes[name].array_zyx, volume.array_zyx)
        assert reading.volumes[name].grid == volume.grid


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_or_changes_nothing(tmp_path: Path, archive: Path, whole: Reading, damage: str) -> None:
    for seed in range(TRIALS):
        copied = tmp_path / str(seed)
        shutil.copytree(archive, copied)
        files = sorted(path for path in copied.rglob("*") if path.is_file())
        before = {path: path.read_bytes() for path in files}
        hit = DAMAGES[damage](files, random.Random(seed))
        assert not silently_wrong(read_all(copied), whole, before[hit], hit.read_bytes()), (seed, hit.name)
