"""What speaks against a prediction."""

from dataclasses import replace
from pathlib import Path

import pytest

from client.data.conversion import PetValues
from client.predict.doubts import mask_doubts, scan_doubts, setting_doubts
from client.predict.figures import Figures
from tests.support.predicted_scan import SETTINGS, made_scan

ABLE = ("ct", "pet", "ct+pet")


def test_slices_of_more_than_twice_the_study_s_are_told(tmp_path: Path) -> None:
    """The study has 3 mm: 6 mm are still twice as much, 6.1 mm are more."""
    scan = made_scan(tmp_path).scan
    assert scan.ct is not None
    for step, told in ((6.0, []), (6.1, ["coarse-scan"])):
        thick = replace(scan, ct=replace(scan.ct, spacing_zyx_mm=(step, 1.5, 1.5)), ct_headers=())
        assert [issue.code for issue in scan_doubts(thick, SETTINGS.preprocessing)] == told


def test_a_mask_on_slices_that_the_scanner_did_not_make_is_told(tmp_path: Path) -> None:
    scan = made_scan(tmp_path).scan
    lost = replace(scan, ct_headers=[header for z, header in enumerate(scan.ct_headers) if z != 9])
    assert [issue.code for issue in scan_doubts(scan, SETTINGS.preprocessing)] == []
    assert [issue.code for issue in scan_doubts(lost, SETTINGS.preprocessing)] == ["resampled-grid"]
    assert [issue.code for issue in scan_doubts(replace(lost, ct_headers=()), SETTINGS.preprocessing)] == []


def test_suv_by_lean_body_mass_is_told(tmp_path: Path) -> None:
    scan = replace(made_scan(tmp_path).scan, pet_values=PetValues("lbm", "computed"))
    (issue,) = scan_doubts(scan, SETTINGS.preprocessing)
    assert (issue.code, issue.grade) == ("other-suv", "warning")
    assert "by 'lbm', those of the study by body weight" in issue.message


@pytest.mark.parametrize(
    ("present", "setting", "reason"), [(("ct",), "ct", "is not there"), (("ct", "pet"), "ct", "was left out")]
)
def test_an_image_that_the_model_takes_and_did_not_get_is_told(
    present: tuple[str, ...], setting: str, reason: str
) -> None:
    (issue,) = setting_doubts("a", present, setting, ABLE, {})
    assert issue.message == f"case 'a': the model takes PET, which {reason}"


def test_a_model_of_ct_alone_misses_no_pet() -> None:
    assert list(setting_doubts("a", ("ct",), "ct", ("ct",), {})) == []


def test_a_modality_that_no_training_case_had_is_told() -> None:
    (issue,) = setting_doubts("a", ("ct", "pet"), "ct+pet", ABLE, {"pet": 0, "ct": 4})
    assert issue.code == "untrained-modality"


def test_an_empty_mask_and_one_that_leaves_the_pet_are_told() -> None:
    assert [issue.code for issue in mask_doubts("a", Figures({"volume_ml": 0.0}))] == ["empty-prediction"]
    (issue,) = mask_doubts("a", Figures({"volume_ml": 2.0}, beyond_pet_ml=0.5))
    assert issue.message.startswith("case 'a': 0.50 ml of the mask lie outside of the PET")
