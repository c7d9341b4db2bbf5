"""Which files the viewer may show."""

from pathlib import Path

import pytest

from client.data.manifest import Manifest
from client.viewing.viewed_cases import view_cases
from protocol.errors import CaseError
from tests.support.viewed import viewed_volumes, write_case


def test_files_of_the_cases_with_their_issues(looked_at: Manifest):
    both, plain, sole = (case.entry() for case in view_cases(looked_at.cases, None))
    assert (both["files"], both["grade"], both["issues"]) == (["ct", "gtv", "pet"], "clear", [])
    assert (plain["files"], plain["grade"]) == (["ct", "pet"], "warning")
    assert (sole["grade"], sole["issues"][0]["remedy"]) == ("error", "write a binary mask")


def test_a_prediction_is_shown_where_it_lies_on_the_grid_of_the_case(looked_at: Manifest, tmp_path: Path):
    volumes = viewed_volumes()
    write_case(tmp_path / "both", {"prediction": volumes["gtv"]})
    write_case(tmp_path / "plain", {"prediction": volumes["pet"]})
    both, plain, sole = view_cases(looked_at.cases, tmp_path)
    assert both.files["prediction"] == tmp_path / "both" / "prediction.nii.gz"
    assert "prediction" not in plain.files
    assert plain.remark == "the prediction lies on another grid than the case"
    assert sole.remark == "no prediction"


def test_a_folder_with_no_prediction_of_these_cases_is_refused(looked_at: Manifest, tmp_path: Path):
    with pytest.raises(CaseError, match=r"of none of the 3 case\(s\): no prediction; expected .*with --private and"):
        view_cases(looked_at.cases, tmp_path)


def test_nothing_to_show_is_refused():
    with pytest.raises(CaseError, match="none of the cases has an image"):
        view_cases([], None)
