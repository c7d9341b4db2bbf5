"""Scores on any folder: which cases are scored, under which setting, and what the table says of the others."""

from pathlib import Path
from typing import Any

import pytest

from client.data.manifest import Manifest
from client.scores.bank_evaluation import evaluate_cases, evaluation_table, one_for_all, scan_folder
from client.tasks.contract import CaseScore
from fusion_models.registry import model_row
from protocol.errors import CaseError
from protocol.messages.labels import Labels
from protocol.messages.scores import Score
from protocol.messages.settings import Adapter, Model, Preprocessing, StudySettings
from protocol.modalities import ModalitySetting
from tests.support.clinical_table import SCHEMA, write_table
from tests.support.segmentation_task import row, segmentation
from tests.support.threshold_network import Threshold
from tests.support.two_cases import write_two_cases

SETTINGS = StudySettings(
    study="s",
    seed=0,
    model=Model(name="pemma-unetr-tiny"),
    adapter=Adapter(rank=4, alpha=8),
    preprocessing=Preprocessing(spacing_zyx_mm=(3, 2, 2), crop_zyx=(16, 16, 16)),
)
ROW = model_row("pemma-unetr-tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cases, of which the second has no contour."""
    root = write_two_cases(tmp_path / "elsewhere")
    (root / "two" / "gtv.nii.gz").unlink()
    return root


@pytest.mark.parametrize(("wanted", "setting"), [(None, "ct+pet"), ("pet", "pet"), ("ct", "ct")])
def test_a_case_with_a_contour_is_scored_under_the_fullest_setting_or_the_wanted_one(
    folder: Path, wanted: ModalitySetting | None, setting: str
) -> None:
    manifest = scan_folder(folder, wanted, Labels())
    scores = list(evaluate_cases(one_for_all(Threshold()), SETTINGS, ROW, manifest, wanted))
    assert [(task.name, score.case, score.modalities) for task, score in scores] == [("segmentation", "one", setting)]
    assert evaluation_table(scores, manifest)["left_out"] == ["two"]


def test_a_folder_without_a_contour_says_what_is_missing(folder: Path) -> None:
    (folder / "one" / "gtv.nii.gz").unlink()
    with pytest.raises(CaseError, match=r"center 'elsewhere': none of 2 usable case\(s\) has a contour and images"):
        list(evaluate_cases(one_for_all(Threshold()), SETTINGS, ROW, scan_folder(folder, None, Labels()), None))


def test_files_of_a_modality_that_is_not_wanted_are_not_read(folder: Path) -> None:
    (folder / "one" / "pet.nii.gz").write_bytes(b"broken")
    assert [case.modalities for case in scan_folder(folder, "ct", Labels()).usable] == [("ct",), ("ct",)]


def test_the_table_leaves_undefined_scores_out_of_the_means_and_counts_them(folder: Path) -> None:
    """Dice 0.5 and undefined: mean 0.5; a distance of 4 mm and undefined: mean 4."""
    task = segmentation()
    scores = [(task, row("one", dice=0.5, hd95_mm=4.0)), (task, row("two", dice=None))]
    table = evaluation_table(scores, scan_folder(folder, "ct", Labels()))
    assert (table["mean"], table["undefined"], table["left_out"]) == ({"dice": 0.5, "hd95_mm": 4.0}, 1, [])


def scan_table(place: Path, cells: dict[str, dict[str, str]]) -> Manifest:
    return scan_folder(write_table(place / "others" / "clinical.csv", cells, key="patient").parent, None, SCHEMA)


def test_a_table_alone_is_a_folder_of_cases_and_a_row_written_twice_leaves_out_its_case(tmp_path: Path) -> None:
    manifest = scan_table(tmp_path, {"p1": {}, "p2": {}, "p2#again": {}, "p3": {"hpv": ""}})
    assert [(case.name, case.modalities) for case in manifest.usable] == [("p1", ("ehr",)), ("p3", ("ehr",))]
    table = evaluation_table([], manifest)
    assert (table["left_out"], table["warnings"]) == (["p1", "p2", "p3"], [])


def test_a_covariate_that_cannot_be_is_missing_and_told(tmp_path: Path) -> None:
    manifest = scan_table(tmp_path, {"p1": {}, "p2": {"age_years": "17"}})
    assert [case.labels.ehr for case in manifest.usable] == [(1.5, 0, 0, 1, 0), (0, 1, 0, 1, 0)]
    (warning,) = evaluation_table([], manifest)["warnings"]
    assert "case 'p2': clinical.csv: found '17' in column 'age_years', line 3" in warning
    assert "the cell is taken for missing" in warning


@pytest.mark.parametrize("cells", [{"death_event": "2"}, {"death_days": "-1"}])
def test_a_label_that_cannot_be_drops_its_target_alone(tmp_path: Path, cells: dict[str, str]) -> None:
    manifest = scan_table(tmp_path, {"p1": {}, "p2": cells})
    assert [case.labels.endpoints[0] is None for case in manifest.usable] == [False, True]
    assert all(case.labels.endpoints[1] and case.has_target("classification") for case in manifest.usable)
    assert len(evaluation_table([], manifest)["warnings"]) == 1


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "others" / "clinical.csv", {"p1": {}}).parent
    (folder / "clinical.csv").write_text("case,death_event\np1,1\n")
    with pytest.raises(CaseError, match="also metastasis, death_days, distant_event"):
        scan_folder(folder, None, SCHEMA)


class Outcomes:
    """A task whose figures are given."""

    def __init__(self, score: Score) -> None:
        self._score = score

    def summarise(self, _rows: object) -> Score:
        return self._score


def table_of(folder: Path, score: Score, **values: float | None) -> Any:
    """The table of one case with an outcome beside its mask."""
    outcomes: Any = Outcomes(score)
    scores = [(segmentation(), row("one", dice=0.5, hd95_mm=4.0)), (outcomes, CaseScore("one", "ct", values))]
    return evaluation_table(scores, scan_folder(folder, "ct", Labels()))


def test_figures_of_a_cohort_stand_under_their_endpoints(folder: Path) -> None:
    """One of six cases has no time of death, two none of progression; the figure of both together is left out."""
    names = ("concordance", "concordance/death", "events/death", "concordance/progression")
    undefined = dict(zip(names, (0, 1, 1, 2), strict=True))
    table = table_of(folder, Score(6, dict(zip(names, (0.6, 0.7, 3.0, None), strict=True)), undefined))
    assert table["cohort"] == {
        "death": {"cases": 5, "concordance": 0.7, "events": 3.0},
        "progression": {"cases": 4, "concordance": None},
    }
    assert table["mean"] == {"dice": 0.5, "hd95_mm": 4.0}


def test_a_cohort_without_endpoints_has_its_figures_by_name(folder: Path) -> None:
    assert table_of(folder, Score(6, {"auc": 0.75, "accuracy": 0.5}))["cohort"] == {"auc": 0.75, "accuracy": 0.5}


def test_a_case_of_several_tasks_has_one_row_for_each_input(folder: Path) -> None:
    table = table_of(folder, Score(1, {"auc": None}), **{"class": 1.0, "probability/1": None})
    assert table["cases"] == [
        {"case": "one", "modalities": "ct", "dice": 0.5, "hd95_mm": 4.0, "class": 1.0, "probability/1": None}
    ]
    assert table["undefined"] == 1
