"""Predictions that a correction may be of."""

import json
from pathlib import Path

import pytest

from client.corrections.predictions import find_predictions
from protocol.errors import CaseError
from tests.support.corrected_study import Corrected


def test_a_prediction_is_found_in_its_folder_and_in_the_one_above(made: Corrected):
    for folder in (made.predictions, made.predictions / made.case):
        (found,), issues = find_predictions(folder)
        assert (found.case, found.study_uid, issues) == (made.case, made.study.study_uid, ())
        assert len(found.sop_uids) == 3
        assert found.facts["adapter"] == {"name": "shared", "version": 2, "sha256": "ab" * 32}
        assert found.read_mask().array_zyx.any()


@pytest.mark.parametrize("grid", ["pet", "pet, resampled"])
def test_a_prediction_on_a_pet_has_the_grid_of_its_series(study: Corrected, grid: str):
    path = study.predictions / study.case / "prediction.json"
    record = json.loads(path.read_text())
    record["grid"]["of"], record["input"]["pet_series_uid"] = grid, "9.9"
    path.write_text(json.dumps(record))
    (found,), _ = find_predictions(study.predictions)
    assert found.series_uids == ("9.9", record["input"]["ct_series_uid"])


@pytest.mark.parametrize("damage", ["{", '{"schema": 1, "case": "a", "input": {}, "grid": null, "files": {}}'])
def test_a_prediction_of_image_files_is_told_and_left_out(study: Corrected, damage: str):
    (study.predictions / study.case / "prediction.json").write_text(damage)
    found, (issue,) = find_predictions(study.predictions)
    assert (found, issue.code, issue.grade) == ((), "prediction-record", "note")


def test_a_folder_without_a_prediction_is_refused(tmp_path: Path):
    with pytest.raises(CaseError, match=r"no prediction\.json"):
        find_predictions(tmp_path)
