import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from client.data.checks import Issue
from client.data.manifest import Case, Manifest
from client.data.manifest_file import write_manifest
from client.data.volume import Grid
from client.report.center_report import StageScore, course, means, write_center_report
from protocol.errors import CaseError
from tests.support.predicted_case import CT, GUESS, LESION, PET, SHAPE, SPACING


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
    (home / "predictions" / "segmentation").mkdir(parents=True, exist_ok=True)
    facts = {"spacing_zyx_mm": np.asarray(SPACING), "modalities": np.asarray("ct+pet"), "predicted": GUESS}
    np.savez_compressed(home / "predictions" / "segmentation" / f"{name}.npz", **(facts | arrays))


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


def test_the_page_is_for_its_owner_alone(page: Callable[..., str], tmp_path: Path):
    page((case("a", "ct"),), [])
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o600


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
    (tmp_path / "predictions" / "segmentation" / "b.npz").write_bytes(b"broken")
    found = page((case("a", "ct", "gtv"), case("b", "ct", "gtv")), score_rows({"a": 0.5, "b": 0.6}))
    assert "This case cannot be shown: prediction" in found
    assert found.count("data:image/png") == 1


def test_broken_scores_name_the_file(tmp_path: Path, page: Callable[..., str]):
    with pytest.raises(CaseError, match=r"scores .*scores\.json cannot be read"):
        page((case("a", "ct"),), [{"part": "test"}])


def test_a_case_without_a_second_score_has_no_change():
    rows = [StageScore("one", "a", "ct", None, None), StageScore("two", "a", "ct", 0.5, 3.0)]
    found = course(rows, "a", "ct", ["one", "two", "three"])
    assert [cell.text for cell in found.cells] == ["undefined", "0.500", "not scored"]
    assert found.change == "undefined"
    assert (means(rows).dice, means(rows).dice_undefined, means(rows).hd95_mm) == (0.5, 1, 3.0)


def test_a_center_whose_cases_have_no_mask_shows_figures_of_its_cohort(tmp_path: Path, page: Callable[..., str]):
    figures = {"concordance/death": 0.75, "pairs/death": 12.0}
    cohort = {"stage": "adapt", "modalities": "ehr", "cases": 6, "values": figures, "undefined": {}}
    (tmp_path / "cohorts.json").write_text(json.dumps([cohort]))
    row = {"part": "test", "stage": "adapt", "task": "survival", "case": "a", "modalities": "ehr", "risk/death": 0.5}
    found = page((case("a"),), [row])
    assert "Survival: figures of the test cohort" in found
    assert '<tr><th>concordance, death</th><td class="number">0.750 (6 cases)</td></tr>' in found
    assert '<tr><th>a</th><td>EHR</td><td class="number">0.500</td></tr>' in found
    assert "Dice" not in found
    assert "1 scored for test" in found


def test_masks_and_cohorts_stand_on_one_page(tmp_path: Path, page: Callable[..., str]):
    (tmp_path / "cohorts.json").write_text("[]")
    other = {"part": "test", "stage": "adapt", "task": "survival", "case": "b", "modalities": "ct", "risk/death": 0.5}
    found = page((case("a", "ct", "gtv"), case("b", "ct")), [*score_rows({"a": 0.5}, setting="ct"), other])
    assert "Mean Dice, CT</div>" in found
    assert "Survival: figures of the test cohort" in found
    assert "2 scored for test" in found
