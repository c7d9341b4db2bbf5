import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from client.data.checks import Issue
from client.data.manifest import Case, Manifest
from client.data.manifest_file import write_manifest
from client.data.volume import IDENTITY, Grid
from client.report.center_report import StageScore, course, means, write_center_report
from client.report.pictures import PREDICTED, TRUE, Prediction, case_png, orient, read_prediction, slices_zyx
from protocol.errors import CaseError

SHAPE = (12, 20, 24)
SPACING = (4.0, 3.0, 2.0)


def ball(center: tuple[int, int, int], radius: float) -> np.ndarray:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    inside = (z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 <= radius**2
    return inside.astype(np.uint8)


BODY, LESION, GUESS = ball((6, 10, 12), 9), ball((7, 11, 14), 3), ball((7, 12, 15), 3)
CT = np.where(BODY > 0, 40.0, -1000.0).astype(np.float32)
PET = (BODY * 1.0 + LESION * 6.0).astype(np.float32)


def prediction(**changes: Any) -> Prediction:
    parts: dict[str, Any] = {"ct": CT, "pet": PET, "truth": LESION, "predicted": GUESS}
    return Prediction("one", **(parts | changes), spacing_zyx_mm=SPACING, modalities="ct+pet")


def case(name: str, *files: str, issues: tuple[Issue, ...] = ()) -> Case:
    grid = Grid(SHAPE, SPACING)
    return Case(
        name=name,
        patient=name,
        folder="site",
        paths={file: Path(f"/data/{name}/{file}.nii.gz") for file in files},  # type: ignore[misc]
        grids=dict.fromkeys(files, grid),  # type: ignore[arg-type]
        checksums=dict.fromkeys(files, "00"),  # type: ignore[arg-type]
        issues=issues,
    )


def save_prediction(home: Path, name: str, **arrays: Any) -> None:
    (home / "predictions").mkdir(exist_ok=True)
    facts = {"spacing_zyx_mm": np.asarray(SPACING), "modalities": np.asarray("ct+pet"), "predicted": GUESS}
    np.savez_compressed(home / "predictions" / f"{name}.npz", **(facts | arrays))


def score_rows(dice: dict[str, float | None], stage: str = "adapt", setting: str = "ct+pet") -> list[dict[str, Any]]:
    return [
        {"case": name, "part": "test", "stage": stage, "modalities": setting, "dice": value, "hd95_mm": None}
        for name, value in dice.items()
    ]


def write_page(home: Path, cases: tuple[Case, ...], rows: list[dict[str, Any]], center: str, formed_by: str) -> str:
    write_manifest(Manifest(center, cases), home / "manifest.json")
    (home / "scores.json").write_text(json.dumps(rows))
    write_center_report(home, home / "report.html", center=center, formed_by=formed_by)
    return (home / "report.html").read_text()


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., str]:
    """The page of a center from its cases and score rows; predictions are what `tmp_path` already holds."""

    def write(cases: tuple[Case, ...], rows: list[dict[str, Any]], center: str = "north") -> str:
        return write_page(tmp_path, cases, rows, center, "")

    return write


@pytest.fixture(scope="module")
def four_cases(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Cases a, b, c, d with Dice 0.61, 0.84, 0.27 and undefined after `adapt`; a had 0.4 after `pretrain`."""
    home = tmp_path_factory.mktemp("center")
    for name in "abcd":
        save_prediction(home, name, ct=CT, pet=PET, gtv=LESION)
    rows = score_rows({"a": 0.4}, "pretrain") + score_rows({"a": 0.61, "b": 0.84, "c": 0.27, "d": None})
    return write_page(home, tuple(case(name, "ct", "pet", "gtv") for name in "abcd"), rows, "north", "By scanner.")


def test_page_loads_nothing_from_elsewhere_and_runs_no_script(four_cases: str):
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", four_cases) == []
    assert "<script" not in four_cases
    assert "http" not in four_cases


def test_page_says_that_it_holds_patient_pictures_and_stays(four_cases: str):
    assert "Stays at this center." in four_cases
    assert "never sent to the coordinator" in four_cases


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


def test_a_center_name_with_markup_is_shown_and_not_run(page: Callable[..., str]):
    found = page((case("a", "ct", "gtv"),), [], center="<script>alert(1)</script>")
    assert "<script" not in found
    assert "<h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1>" in found


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


def test_synthetic_cases_are_called_synthetic(page: Callable[..., str]):
    found = page((case("synthetic-north-001", "ct", "gtv"),), score_rows({"synthetic-north-001": 0.5}))
    assert "<strong>Synthetic</strong> cases: 1 of 1 are computed phantoms" in found


def test_issues_and_left_out_cases_are_listed(page: Callable[..., str]):
    issue = Issue("constant", "a", "case 'a': ct.nii.gz: found the value 3 everywhere", fatal=True)
    found = page((case("a", "ct", issues=(issue,)), case("b", "ct", "gtv")), [])
    assert "found the value 3 everywhere" in found
    assert found.count("left out</span>") == 1
    assert "2 cases, 1 usable" in found
    assert "CT: 12 × 20 × 24 voxels of 4.00 × 3.00 × 2.00 mm" in found


def test_a_broken_prediction_is_told_and_the_others_are_shown(tmp_path: Path, page: Callable[..., str]):
    save_prediction(tmp_path, "a", ct=CT, gtv=LESION)
    (tmp_path / "predictions" / "b.npz").write_bytes(b"broken")
    found = page((case("a", "ct", "gtv"), case("b", "ct", "gtv")), score_rows({"a": 0.5, "b": 0.6}))
    assert "This case cannot be shown: prediction" in found
    assert found.count("data:image/png") == 1


def test_broken_scores_name_the_file(tmp_path: Path, page: Callable[..., str]):
    with pytest.raises(CaseError, match=r"scores .*scores\.json cannot be read"):
        page((case("a", "ct"),), [{"part": "test"}])


@pytest.mark.parametrize("missing", ["ct", "pet", "truth"])
def test_both_contours_are_drawn_in_their_colours_wherever_they_exist(missing: str):
    pixels = rgb(case_png(prediction(**{missing: None})))
    assert (near(pixels, TRUE) > 30) == (missing != "truth")
    assert near(pixels, PREDICTED) > 30


def test_an_empty_prediction_draws_the_true_contour_alone():
    drawn, empty = (rgb(case_png(prediction(predicted=mask))) for mask in (GUESS, np.zeros_like(GUESS)))
    assert near(empty, TRUE) > 30
    assert near(empty, PREDICTED) < near(drawn, PREDICTED) / 2


def test_a_second_image_adds_a_second_row_of_slices():
    one, two = rgb(case_png(prediction(pet=None))), rgb(case_png(prediction()))
    assert two.shape[1] == one.shape[1]
    assert two.shape[0] > 1.7 * one.shape[0]


@pytest.mark.parametrize("ct", [CT, None])
def test_uptake_is_drawn_hot_with_and_without_a_ct(ct: np.ndarray | None):
    cold, hot = (rgb(case_png(prediction(ct=ct, pet=pet)))[:, :700] for pet in (PET * 0, PET))
    assert red(cold) == 0
    assert red(hot) > 1000


def test_a_sphere_in_mm_is_drawn_round_on_an_anisotropic_grid():
    z, y, x = (np.arange(count) * step for count, step in zip((20, 40, 40), (4.0, 2.0, 1.0), strict=True))
    sphere = ((z[:, None, None] - 38) ** 2 + (y[:, None] - 39) ** 2 + (x - 20) ** 2 <= 15**2).astype(np.uint8)
    black = np.full(sphere.shape, -1000.0, dtype=np.float32)
    picture = Prediction("s", black, None, sphere, np.zeros_like(sphere), (4.0, 2.0, 1.0), "ct")
    drawn = distance(rgb(case_png(picture)), TRUE) < 60
    drawn[:40] = False
    columns = np.flatnonzero(drawn.any(axis=0))
    first = drawn[:, columns[0] : columns[np.flatnonzero(np.diff(columns) > 20)[0]] + 1] if len(columns) else drawn
    rows = np.flatnonzero(first.any(axis=1))
    assert (rows[-1] - rows[0]) / first.shape[1] == pytest.approx(1, abs=0.15)


def test_slices_go_through_the_largest_extent_of_the_truth():
    assert slices_zyx(LESION) == (7, 11, 14)
    assert slices_zyx(np.zeros(SHAPE)) == (6, 10, 12)
    assert prediction(truth=np.zeros_like(LESION)).reference is GUESS


def test_volume_counts_voxels_of_24_cubic_millimetres():
    assert prediction().millilitres(np.ones((1, 5, 10))) == pytest.approx(1.2)


def test_axes_that_run_to_the_right_are_turned_and_oblique_ones_left_alone():
    turned = orient(prediction(), (-1, 0, 0, 0, 1, 0, 0, 0, 1))
    assert turned.oriented
    assert turned.ct is not None
    np.testing.assert_array_equal(turned.ct, CT[:, :, ::-1])
    np.testing.assert_array_equal(turned.predicted, GUESS[:, :, ::-1])
    assert orient(prediction(), IDENTITY).oriented
    assert not orient(prediction(), (0, 1, 0, 1, 0, 0, 0, 0, 1)).oriented


def test_a_prediction_on_two_grids_is_refused(tmp_path: Path):
    save_prediction(tmp_path, "a", ct=CT[1:], gtv=LESION)
    with pytest.raises(CaseError, match="on one grid"):
        read_prediction(tmp_path / "predictions" / "a.npz")


def test_a_case_without_a_second_score_has_no_change():
    rows = [StageScore("one", "a", "ct", None, None), StageScore("two", "a", "ct", 0.5, 3.0)]
    found = course(rows, "a", "ct", ["one", "two", "three"])
    assert [cell.text for cell in found.cells] == ["undefined", "0.500", "not scored"]
    assert found.change == "undefined"
    assert (means(rows).dice, means(rows).dice_undefined, means(rows).hd95_mm) == (0.5, 1, 3.0)


def rgb(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float)


def distance(pixels: np.ndarray, colour: str) -> np.ndarray:
    return np.linalg.norm(pixels - 255 * np.asarray(to_rgb(colour)), axis=-1)


def red(pixels: np.ndarray) -> int:
    """Pixels of strong uptake: much red, little blue."""
    return int(((pixels[..., 0] > 180) & (pixels[..., 2] < 60)).sum())


def near(pixels: np.ndarray, colour: str) -> int:
    """Pixels of a contour's colour in the panels, below the legend."""
    return int((distance(pixels[40:], colour) < 60).sum())
