"""What a center remembers of its test cases, in the units of its images."""

import json
from pathlib import Path

import numpy as np

from client.data.preprocessing import PreparedCase
from client.scores.metrics import CaseScore
from client.scores.score_log import record_prediction, record_scores
from protocol.messages.settings import Preprocessing


def test_a_stage_that_is_scored_again_replaces_its_own_rows_alone(tmp_path: Path) -> None:
    record_scores(tmp_path, "first", [CaseScore("p", "ct", 0.1, None)])
    record_scores(tmp_path, "second", [CaseScore("p", "ct", 0.2, 7.0)])
    record_scores(tmp_path, "first", [CaseScore("q", "ct", 0.3, None)])
    rows = json.loads((tmp_path / "scores.json").read_text())
    assert [(row["stage"], row["case"], row["dice"], row["hd95_mm"]) for row in rows] == [
        ("second", "p", 0.2, 7.0),
        ("first", "q", 0.3, None),
    ]
    assert {row["part"] for row in rows} == {"test"}


def test_a_prediction_is_kept_in_hu_and_suv(tmp_path: Path) -> None:
    """The middle of the CT window from -200 to 200 HU is 0 HU, a quarter of 0 to 20 SUV is 5; no contour, no gtv."""
    ct, pet = np.full((2, 2, 2), 0.5, np.float32), np.full((2, 2, 2), 0.25, np.float32)
    predicted = np.ones((2, 2, 2), np.uint8)
    settings = Preprocessing(ct_window_hu=(-200, 200), pet_window_suv=(0, 20), spacing_zyx_mm=(3, 2, 1))
    record_prediction(tmp_path, PreparedCase("p", ct, pet, None), "ct+pet", predicted, settings)
    with np.load(tmp_path / "predictions" / "p.npz") as file:
        assert set(file.files) == {"ct", "pet", "predicted", "spacing_zyx_mm", "modalities"}
        assert (file["ct"].max(), file["pet"].max()) == (0, 5)
        assert file["spacing_zyx_mm"].tolist() == [3, 2, 1]
        assert str(file["modalities"]) == "ct+pet"
