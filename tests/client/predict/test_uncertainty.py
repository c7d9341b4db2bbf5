"""How sure a mask is by what its center found, in figures and in words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit

from client.predict.outputs import write_prediction
from client.predict.predicting import Predictor
from client.predict.uncertainty import (
    NO_ROW,
    NOT_ABOVE,
    NOTHING_FOUND,
    REVIEW,
    find_row,
    judge,
    temper,
    uncertainty_doubts,
)
from client.scores.calibration_rows import CalibrationRow
from client.tasks.sliding_windows import PredictedVolume
from tests.support.counted_margins import calibration, scored
from tests.support.predicted_scan import FACTS, made_scan, predictor

SPACING = (10.0, 10.0, 10.0)


def row(**changes: Any) -> CalibrationRow:
    """Of an adapter `a..` on CT+PET: T = 2, a threshold of 0.3 nats from nine cases."""
    (found,) = calibration([scored("a")], [scored("p")])
    asked = {"temperature": 2.0, "threshold": 0.3, "validation_cases": 9, "no_threshold": ""}
    return found.model_copy(update={**asked, **changes})


def volume(*margins: float) -> PredictedVolume:
    lead = torch.tensor(margins).reshape(1, 1, -1)
    return PredictedVolume(torch.stack([torch.zeros_like(lead), lead]))


def test_a_mask_less_sure_than_the_threshold_is_for_a_person() -> None:
    """Margin 4 at T = 2 is p = 0.881, H = 0.365 nats."""
    found = judge(volume(4.0), SPACING, row(), "")
    assert found.entropy_nats == pytest.approx(0.365, abs=0.005)
    assert (found.temperature, found.threshold_nats, found.review, found.statement) == (2.0, 0.3, True, REVIEW)
    (issue,) = uncertainty_doubts("p", found)
    assert (issue.code, issue.grade) == ("review-by-hand", "warning")
    assert issue.message.startswith(f"case 'p': {REVIEW}: 0.36")
    assert issue.message.endswith(
        "nats above 0.300, chosen on 9 validation cases to keep 80% of cases like them; the mask is written as it was "
        "predicted"
    )


def test_a_mask_as_sure_as_the_threshold_is_not_called_right() -> None:
    found = judge(volume(4.0), SPACING, row(threshold=0.4), "")
    assert (found.review, found.statement) == (False, NOT_ABOVE)
    assert list(uncertainty_doubts("p", found)) == []


def test_without_a_predicted_lesion_a_person_looks_whatever_the_threshold() -> None:
    """That nothing was predicted has a warning of its own."""
    found = judge(volume(-4.0), SPACING, row(), "")
    assert (found.entropy_nats, found.review, found.statement) == (None, True, NOTHING_FOUND)
    assert list(uncertainty_doubts("p", found)) == []


def test_without_a_threshold_nothing_is_judged_and_the_reason_is_told() -> None:
    few = judge(volume(4.0), SPACING, row(threshold=None, no_threshold="3 validation case(s); .."), "")
    assert (few.review, few.statement, few.temperature) == (None, "not judged: 3 validation case(s); ..", 2.0)
    none = judge(volume(4.0), SPACING, None, NO_ROW)
    assert (none.review, none.temperature, none.statement) == (None, None, f"not judged: {NO_ROW}")
    assert none.entropy_nats == pytest.approx(0.0902, abs=0.005)
    assert [issue.code for issue in uncertainty_doubts("p", none)] == ["no-calibration"]


def test_a_row_is_of_one_adapter_one_backbone_and_one_input_and_the_newest_counts() -> None:
    facts = {"sha256": "a" * 64, "backbone_sha256": "b" * 64}
    rows = [row(stage="first"), row(stage="second"), row(modalities="ct"), row(adapter_sha256="c" * 64)]
    found = find_row(rows, facts, "ct+pet")
    assert found is not None
    assert found.stage == "second"
    assert find_row(rows, {**facts, "backbone_sha256": "d" * 64}, "ct+pet") is None
    assert find_row(rows, facts, "pet") is None


def test_a_temperature_flattens_probabilities_and_moves_none_over_one_half() -> None:
    before = np.array([0.0, 0.2, 0.4999, 0.5, 0.8, 1.0], np.float32)
    after = temper(before, 2.0)
    assert after.tolist() == pytest.approx([0, expit(-np.log(4) / 2), 0.49995, 0.5, expit(np.log(4) / 2), 1], abs=1e-6)
    np.testing.assert_array_equal(after >= 0.5, before >= 0.5)
    assert temper(before, None) is before


def calibrated(**changes: Any) -> Predictor:
    found = predictor()
    known = row(adapter_sha256=FACTS["sha256"], backbone_sha256="b" * 64, **changes)
    network_for = found._network_for

    def with_backbone(case: Any) -> Any:
        answering = network_for(case)
        return type(answering)(answering.model, answering.algorithm, {**answering.facts, "backbone_sha256": "b" * 64})

    return Predictor(found._settings, found._row, with_backbone, None, [known])


def test_a_prediction_says_it_in_record_report_and_warnings_and_keeps_its_mask(tmp_path: Path) -> None:
    made = made_scan(tmp_path)
    plain, marked = predictor().predict(made.scan), calibrated(threshold=0.01).predict(made.scan)
    assert plain.mask is not None
    assert marked.mask is not None
    np.testing.assert_array_equal(plain.mask.array_zyx, marked.mask.array_zyx)
    assert [issue.code for issue in marked.issues] == ["review-by-hand"]
    record = write_prediction(marked, tmp_path / "out", {})
    assert (record["uncertainty"]["review"], record["uncertainty"]["statement"]) == (True, REVIEW)
    assert record["schema"] == 2
    assert REVIEW.encode() in (tmp_path / "out" / "prediction.sr.dcm").read_bytes()
    assert {"seg", "rtstruct", "report", "mask"} <= set(record["files"])


def test_a_prediction_without_a_calibration_is_not_judged_and_told_of_in_its_record_alone(tmp_path: Path) -> None:
    found = predictor().predict(made_scan(tmp_path).scan)
    assert found.uncertainty is not None
    assert found.uncertainty.statement == "not judged: no calibration was given"
    assert found.issues == ()
    assert found.uncertainty.entropy_nats is not None
