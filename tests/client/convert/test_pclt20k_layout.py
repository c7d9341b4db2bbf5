"""PCLT20K's pictures."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from client.convert.contract import Choices, GreyLevels
from client.convert.pclt20k_layout import find_pclt20k_cases, recognize_pclt20k
from client.data.conversion import PetValues
from protocol.errors import CaseError
from tests.support.nifti_files import codes, read_only

GREY = Choices(grey=GreyLevels((-1000.0, 275.0), (0.0, 10.2), (3.0, 0.5, 0.5)))


def _picture(path: Path, values) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.asarray(values, np.uint8)), str(path))


def _slice(root: Path, number: int, level: int = 100) -> Path:
    stem = root / "0001" / f"0001_{number}"
    _picture(stem.with_name(f"{stem.name}_CT.png"), [[0, level], [255, 200]])
    _picture(stem.with_name(f"{stem.name}_PET.png"), [[0, 255], [50, 51]])
    _picture(stem.with_name(f"{stem.name}_mask.png"), [[0, 255], [127, 128]])
    return root


def test_levels_become_what_the_user_declares_linear_between_the_ends(tmp_path: Path):
    """255 levels over 1275 HU are 5 HU each, over 10.2 SUV 0.04 each."""
    read = read_only(find_pclt20k_cases(_slice(_slice(tmp_path, 1), 2), GREY))
    assert read.ct is not None
    assert read.pet is not None
    assert read.gtv is not None
    np.testing.assert_allclose(read.ct.array_zyx[0], [[-1000, -500], [275, 0]], atol=1e-3)
    np.testing.assert_allclose(read.pet.array_zyx[0], [[0, 10.2], [2, 2.04]], atol=1e-5)
    assert read.gtv.array_zyx[0].tolist() == [[0, 1], [0, 1]]
    assert (read.ct.spacing_zyx_mm, read.pet_values) == ((3.0, 0.5, 0.5), PetValues("bw", "declared"))
    assert codes(read) == [("grey-levels", "", "note")]


def test_levels_of_which_nobody_says_what_they_are_convert_to_nothing(tmp_path: Path):
    with pytest.raises(CaseError, match="say --ct-window, --pet-window and --spacing"):
        find_pclt20k_cases(_slice(tmp_path, 1), Choices())


def test_slices_are_stacked_by_number_and_gaps_are_told(tmp_path: Path):
    for number, level in ((10, 110), (9, 109), (2, 102)):
        _slice(tmp_path, number, level)
    read = read_only(find_pclt20k_cases(tmp_path, GREY))
    assert read.ct is not None
    np.testing.assert_allclose(read.ct.array_zyx[:, 0, 1], [-490, -455, -450], atol=1e-3)
    assert ("slices-missing", "", "warning") in codes(read)
    assert any("1 gap(s)" in issue.message for issue in read.issues)


def test_a_slice_without_its_pet_is_left_out_and_one_without_mask_takes_the_contour(tmp_path: Path):
    _slice(_slice(tmp_path, 1), 2)
    (tmp_path / "0001" / "0001_2_PET.png").unlink()
    (tmp_path / "0001" / "0001_1_mask.png").unlink()
    read = read_only(find_pclt20k_cases(tmp_path, GREY))
    assert read.ct is not None
    assert (read.ct.shape_zyx, read.gtv) == ((1, 2, 2), None)
    assert {"unpaired", "slices-unmasked"} <= {code for code, _, _ in codes(read)}


@pytest.mark.parametrize(
    ("values", "told"), [([[1, 2, 3]], "2 sizes"), (np.arange(12).reshape(2, 2, 3), "expected 8-bit grey")]
)
def test_a_picture_unlike_the_others_is_refused(tmp_path: Path, values, told):
    _slice(_slice(tmp_path, 1), 2)
    path = tmp_path / "0001" / "0001_2_CT.png"
    color = np.ndim(values) == 3
    sitk.WriteImage(sitk.GetImageFromArray(np.asarray(values, np.uint8), isVector=color), str(path))
    with pytest.raises(CaseError, match=told):
        read_only(find_pclt20k_cases(tmp_path, GREY))


def test_a_source_is_recognized_by_a_pair_and_a_folder_without_one_is_told(tmp_path: Path):
    assert recognize_pclt20k(tmp_path) == ""
    assert "*_CT.png" in recognize_pclt20k(_slice(tmp_path, 1))
    _picture(tmp_path / "0002" / "0002_1_CT.png", [[1]])
    found = find_pclt20k_cases(tmp_path, GREY)
    assert [case.identity for case in found.cases] == ["0001"]
    assert [issue.code for issue in found.issues] == ["unpaired"]
