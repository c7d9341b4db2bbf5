import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from client.data.checks import Issue
from protocol.errors import CaseError
from tests.support.center_page import case, score_rows


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


def test_a_center_name_with_markup_is_shown_and_not_run(page: Callable[..., str]):
    found = page((case("a", "ct", "gtv"),), [], center="<script>alert(1)</script>")
    assert "<script" not in found
    assert "<h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1>" in found


def test_synthetic_cases_are_called_synthetic(page: Callable[..., str]):
    found = page((case("synthetic-north-001", "ct", "gtv"),), score_rows({"synthetic-north-001": 0.5}))
    assert "<strong>Synthetic</strong> cases: 1 of 1 are computed phantoms" in found


def test_issues_and_left_out_cases_are_listed(page: Callable[..., str]):
    issue = Issue("constant", "a", "case 'a': ct.nii.gz: found the value 3 everywhere", "error")
    found = page((case("a", "ct", issues=(issue,)), case("b", "ct", "gtv")), [])
    assert "found the value 3 everywhere" in found
    assert found.count("left out</span>") == 1
    assert "2 cases, 1 usable" in found
    assert "CT: 12 × 20 × 24 voxels of 4.00 × 3.00 × 2.00 mm" in found


def test_broken_scores_name_the_file(tmp_path: Path, page: Callable[..., str]):
    with pytest.raises(CaseError, match=r"scores .*scores\.json cannot be read"):
        page((case("a", "ct"),), [{"part": "test"}])


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
