"""Answers for a case as a whole, by the study's own names."""

import numpy as np
import pytest

from client.predict.answers import describe_answer
from protocol.errors import ModelError
from tests.support.clinical_table import SCHEMA
from tests.support.predicted_scan import SETTINGS

STUDY = SETTINGS.model_copy(update={"labels": SCHEMA})


def test_a_class_has_a_probability_by_its_name() -> None:
    found = describe_answer("classification", np.array([0.25, 0.75], np.float32), STUDY)
    assert found == {"probability": {"0": 0.25, "1": 0.75}}


def test_an_endpoint_has_a_risk_and_a_curve_in_days() -> None:
    rows = np.array([[0.5, 0.9, 0.8], [1.5, 0.7, 0.6]], np.float32)
    found = describe_answer("survival", rows, STUDY)
    assert found["distant"]["risk"] == 1.5
    assert [point["days"] for point in found["death"]["event_free"]] == [365.0, 730.0]
    assert found["death"]["event_free"][1]["probability"] == pytest.approx(0.8)


def test_a_mask_is_no_answer_for_a_record() -> None:
    with pytest.raises(ModelError, match="'segmentation' answers with a mask"):
        describe_answer("segmentation", np.zeros((1, 1, 1)), STUDY)


def test_a_fused_image_is_told_by_its_size_mean_and_range() -> None:
    image = np.array([[[0.25, 0.5], [0.75, 0.5]]], np.float32)
    found = describe_answer("fusion", image, STUDY)
    assert found == {"mean": 0.5, "lowest": 0.25, "highest": 0.75, "voxels_zyx": [1, 2, 2]}
