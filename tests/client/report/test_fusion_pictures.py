"""The page's pictures of fused cases: what is read, where they cut, and what is said where nothing can be drawn."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.report.fusion_pictures import FOLDER, case_png, fusion_picture, place_of, read_case, turn
from protocol.errors import CaseError

HEAD_FIRST = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)
FEET_FIRST = (1.0, 0, 0, 0, 1, 0, 0, 0, -1)
OBLIQUE = (0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1)
PNG = b"\x89PNG"


def write(home: Path, name: str = "p1", **changes: Any) -> Path:
    """A case whose PET is hot in voxel (1, 3, 4)."""
    image = np.zeros((4, 5, 6), dtype=np.float32)
    image[1, 3, 4] = 1
    arrays: dict[str, Any] = {
        **dict.fromkeys(("ct", "pet", "fused"), image),
        "spacing_zyx_mm": np.array([4.0, 2.0, 2.0]),
        "modalities": np.array("ct+pet"),
        **changes,
    }
    (home / FOLDER).mkdir(parents=True, exist_ok=True)
    np.savez(home / FOLDER / f"{name}.npz", **{key: value for key, value in arrays.items() if value is not None})
    return home / FOLDER / f"{name}.npz"


def test_slices_go_through_the_hottest_voxel_or_the_middle_of_a_case_without_pet(tmp_path: Path) -> None:
    assert place_of(read_case(write(tmp_path))) == (1, 3)
    assert place_of(read_case(write(tmp_path, pet=None))) == (2, 2)


def test_a_grid_that_runs_to_the_feet_is_turned_and_an_oblique_one_is_not(tmp_path: Path) -> None:
    case = read_case(write(tmp_path))
    assert [place_of(turn(case, way)) for way in (HEAD_FIRST, FEET_FIRST, OBLIQUE)] == [(1, 3), (2, 3), (1, 3)]


def test_there_is_a_column_for_each_image(tmp_path: Path) -> None:
    both, alone = (case_png(read_case(write(tmp_path, pet=pet))) for pet in (np.ones((4, 5, 6)), None))
    assert both.startswith(PNG)
    widths = [int.from_bytes(png[16:20], "big") for png in (both, alone)]
    assert widths[0] * 2 == widths[1] * 3


def test_a_picture_says_what_it_was_made_from(tmp_path: Path) -> None:
    found = fusion_picture(write(tmp_path), HEAD_FIRST, "SSIM 0.700")
    assert (found.title, found.caption, found.problem) == ("p1", "From CT+PET · SSIM 0.700", "")
    assert base64.b64decode(found.png).startswith(PNG)


@pytest.mark.parametrize("changes", [{"fused": None}, {"spacing_zyx_mm": np.array([4.0])}, {"modalities": None}])
def test_what_lacks_an_array_is_refused_and_told(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(CaseError, match=r"p1\.npz cannot be read .*; evaluate the case again"):
        read_case(path)
    assert "cannot be read" in fusion_picture(path, HEAD_FIRST, "").problem


def test_images_of_several_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"holds \{'ct': \(4, 5, 6\).*'fused': \(4, 5, 5\)\}; expected volumes on one"):
        read_case(write(tmp_path, fused=np.zeros((4, 5, 5))))
