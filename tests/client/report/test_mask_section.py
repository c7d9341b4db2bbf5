"""What a page says of masks."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from client.report.mask_section import StageScore, course, means
from tests.support.center_page import case, save_prediction, score_rows
from tests.support.predicted_case import CT, LESION


def test_best_case_comes_first_then_the_worst_then_the_rest_with_unscored_last(four_cases: str):
    titles = re.findall(r"<h3>(\w)(?: <span[^>]*>([^<]*)</span>)?</h3>", four_cases)
    assert titles == [("b", "best case"), ("c", "worst case"), ("a", ""), ("d", "")]


def test_every_score_is_printed_and_an_undefined_one_is_the_word(four_cases: str):
    assert {"0.610", "0.840", "0.270"} <= set(re.findall(r'<td class="number">([^<]*)</td>', four_cases))
    assert '<tr><th>d</th><td class="number undefined">undefined</td>' in four_cases
    assert "0.000" not in four_cases


def test_mean_leaves_the_undefined_case_out_and_counts_it(four_cases: str):
    assert '<div class="figure">0.573</div>' in four_cases
    assert "undefined: Dice 1, HD95 4" in four_cases


def test_course_of_a_case_ends_in_its_change(four_cases: str):
    assert "+0.210" in four_cases


def test_how_the_centers_were_formed_stands_by_scores_courses_and_pictures(four_cases: str):
    assert four_cases.count("How the centers were formed: By scanner.") == 3
    assert "synthetic" not in four_cases.lower()


def test_every_picture_is_a_png_in_the_page(four_cases: str):
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', four_cases)
    assert len(images) == 4
    assert all(Image.open(io.BytesIO(base64.b64decode(image))).format == "PNG" for image in images)


def test_a_ct_only_center_shows_ct_and_one_row_of_slices(tmp_path: Path, page: Callable[..., str]):
    save_prediction(tmp_path, "a", ct=CT, gtv=LESION, modalities=np.asarray("ct"))
    found = page((case("a", "ct", "gtv"),), score_rows({"a": 0.5}, setting="ct"))
    assert "Predicted from CT ·" in found
    assert "only scored case" in found
    assert "Mean Dice, CT</div>" in found
    assert "Mean Dice, CT+PET" not in found


def test_a_center_without_a_scored_case_says_so(page: Callable[..., str]):
    found = page((case("a", "ct"),), [])
    assert "No test case has been scored yet." in found
    assert "There is no prediction of a test case to show yet." in found


def test_validation_scores_are_not_reported(page: Callable[..., str]):
    rows = [row | {"part": "validation"} for row in score_rows({"a": 0.5})]
    assert "No test case has been scored yet." in page((case("a", "ct", "gtv"),), rows)


def test_a_broken_prediction_is_told_and_the_others_are_shown(tmp_path: Path, page: Callable[..., str]):
    save_prediction(tmp_path, "a", ct=CT, gtv=LESION)
    (tmp_path / "predictions" / "segmentation" / "b.npz").write_bytes(b"broken")
    found = page((case("a", "ct", "gtv"), case("b", "ct", "gtv")), score_rows({"a": 0.5, "b": 0.6}))
    assert "This case cannot be shown: prediction" in found
    assert found.count("data:image/png") == 1


def test_a_case_without_a_second_score_has_no_change():
    rows = [StageScore("one", "a", "ct", None, None), StageScore("two", "a", "ct", 0.5, 3.0)]
    found = course(rows, "a", "ct", ["one", "two", "three"])
    assert [cell.text for cell in found.cells] == ["undefined", "0.500", "absent"]
    assert found.change == "undefined"
    assert (means(rows).dice, means(rows).dice_undefined, means(rows).hd95_mm) == (0.5, 1, 3.0)
