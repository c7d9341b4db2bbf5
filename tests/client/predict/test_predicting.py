"""From a scan to its prediction: mask on the scan's grid, figures, and what speaks against it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.data.checks import Issue
from client.data.volume import same_grid
from client.learning.assembly import build
from client.predict.contract import Answering, Prediction, Scan
from client.predict.outputs import write_prediction
from client.predict.predicting import Predictor
from client.tasks.overlap import dice
from fusion_models.registry import model_row
from protocol.errors import CaseError
from protocol.messages.settings import Model
from tests.support.clinical_table import SCHEMA
from tests.support.drawn_mask import ALGORITHM, ORIENTATIONS
from tests.support.predicted_scan import FACTS, ROW, SETTINGS, made_scan, predictor
from tests.support.threshold_network import Threshold


def codes(prediction: Prediction) -> list[str]:
    return [issue.code for issue in prediction.issues]


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_the_mask_is_the_tumour_on_the_grid_of_the_ct(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    """The study's grid has voxels of 2 mm, the CT's of 1.5 mm: Dice above 0.9, and no shift of half a voxel."""
    made = made_scan(tmp_path, orientation)
    found = predictor("ct").predict(made.scan)
    assert found.mask is not None
    assert same_grid(found.mask, made.tumour)
    overlap = dice(found.mask.array_zyx, made.tumour.array_zyx)
    assert overlap is not None
    assert overlap > 0.9
    shift = [np.argwhere(found.mask.array_zyx).mean(axis=0) - np.argwhere(made.tumour.array_zyx).mean(axis=0)]
    assert np.abs(shift).max() < 0.5


def test_figures_are_of_the_pet_s_own_values(tmp_path: Path) -> None:
    found = predictor().predict(made_scan(tmp_path).scan)
    assert found.figures is not None
    assert found.figures.values["suv_max"] == 8.0
    assert (found.setting, codes(found)) == ("ct+pet", [])


def test_a_scan_without_ct_is_predicted_on_the_grid_of_its_pet(tmp_path: Path) -> None:
    scan = replace(made_scan(tmp_path).scan, ct=None)
    found = predictor().predict(scan)
    assert found.mask is not None
    assert found.setting == "pet"
    assert same_grid(found.mask, scan.base)
    assert codes(found) == ["missing-modality"]


def test_a_scan_without_pet_has_a_volume_and_no_suv(tmp_path: Path) -> None:
    found = predictor().predict(replace(made_scan(tmp_path).scan, pet=None, pet_values=None))
    assert found.figures is not None
    assert found.setting == "ct"
    assert (found.figures.values["volume_ml"] or 0) > 1
    assert found.figures.values["suv_max"] is None


def test_under_a_wanted_setting_the_network_is_shown_no_more_and_the_grid_stays_the_ct_s(tmp_path: Path) -> None:
    made = made_scan(tmp_path)
    found = predictor("pet").predict(made.scan)
    assert found.mask is not None
    assert (found.setting, codes(found)) == ("pet", ["missing-modality"])
    assert same_grid(found.mask, made.tumour)


def test_a_scan_that_lacks_the_wanted_setting_is_refused(tmp_path: Path) -> None:
    scan = replace(made_scan(tmp_path).scan, pet=None)
    with pytest.raises(CaseError, match=r"case 'case-a' has ct; model 'pemma-unetr-tiny' runs .*, asked was 'pet'"):
        predictor("pet").predict(scan)
    with pytest.raises(CaseError, match="case 'none' has no image"):
        predictor().predict(Scan("none"))


def test_a_prediction_without_a_voxel_says_so(tmp_path: Path) -> None:
    scan = made_scan(tmp_path).scan
    assert scan.ct is not None
    air = replace(scan, ct=replace(scan.ct, array_zyx=np.full_like(scan.ct.array_zyx, -1000)), pet=None)
    found = predictor().predict(air)
    assert found.figures is not None
    assert found.figures.values["volume_ml"] == 0.0
    assert codes(found) == ["missing-modality", "empty-prediction"]


def test_what_bank_and_scan_say_is_kept_with_what_is_found(tmp_path: Path) -> None:
    of_scan, of_bank = Issue("shift", "case-a", "shifted", "warning"), Issue("unknown-scan", "case-a", "odd", "warning")
    answering = Answering(Threshold(), ALGORITHM, {**FACTS, "support": {"pet": 0}}, (of_bank,))
    scan = replace(made_scan(tmp_path).scan, issues=(of_scan,))
    found = Predictor(SETTINGS, ROW, lambda _case: answering).predict(scan)
    assert codes(found) == ["shift", "unknown-scan", "untrained-modality"]


def test_a_study_of_classes_answers_with_probabilities_and_no_mask(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(
        update={"model": Model(name="multistage-tiny"), "tasks": ("classification",), "labels": SCHEMA}
    )
    row = model_row("multistage-tiny")
    network = build(settings, row)
    found = Predictor(settings, row, lambda _case: Answering(network, ALGORITHM, FACTS)).predict(
        made_scan(tmp_path).scan
    )
    assert (found.mask, found.figures, found.probability) == (None, None, None)
    answer = found.answers["classification"]
    assert answer["modalities"] == "ct+pet"
    assert sum(answer["probability"].values()) == pytest.approx(1.0)
    record = write_prediction(found, tmp_path / "out", {})
    assert (record["figures"], record["files"]) == (None, {})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["prediction.json"]
