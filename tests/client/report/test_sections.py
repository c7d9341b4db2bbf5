"""Which sections a page has."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from client.data.manifest import Manifest
from client.report.cohort_sections import CohortSection
from client.report.fusion_section import FusionSection
from client.report.mask_section import MaskSection
from client.report.sections import page_sections
from client.report.task_rows import CaseRow
from protocol.errors import CaseError
from protocol.tasks import TaskName
from reporting.pages import open_templates

MANIFEST = Manifest("north", ())
ROWS: dict[TaskName, Sequence[CaseRow]] = {
    "survival": [CaseRow("adapt", "a", "ct", {"risk/death": 0.5})],
    "segmentation": [CaseRow("adapt", "a", "ct", {"dice": 0.5, "hd95_mm": 3.0})],
    "fusion": [CaseRow("adapt", "a", "ct", {"ssim": 0.5})],
}


def test_sections_of_cases_stand_before_those_of_cohorts(tmp_path: Path) -> None:
    found = page_sections(tmp_path, MANIFEST, ROWS, ["adapt"])
    assert [type(section) for section in found] == [MaskSection, FusionSection, CohortSection]


@pytest.mark.parametrize(
    ("task", "section"), [("survival", CohortSection), ("segmentation", MaskSection), ("fusion", FusionSection)]
)
def test_a_task_without_scored_cases_has_no_section(tmp_path: Path, task: TaskName, section: type) -> None:
    """The page of a center that scores survival alone says nothing of Dice."""
    found = page_sections(tmp_path, MANIFEST, {task: ROWS[task]}, ["adapt"])
    assert [type(one) for one in found] == [section]


def test_before_any_score_one_section_says_so(tmp_path: Path) -> None:
    assert [type(section) for section in page_sections(tmp_path, MANIFEST, {}, [])] == [MaskSection]


def test_each_section_has_a_template_of_its_own(tmp_path: Path) -> None:
    environment = open_templates("client.report")
    names = [section.template for section in page_sections(tmp_path, MANIFEST, ROWS, ["adapt"])]
    assert [environment.get_template(name).name for name in names] == [
        "mask_section.html",
        "fusion_section.html",
        "cohort_section.html",
    ]


def test_broken_figures_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "cohorts.json").write_text("{")
    with pytest.raises(CaseError, match=r"scores .*cohorts\.json cannot be read"):
        page_sections(tmp_path, MANIFEST, ROWS, ["adapt"])
