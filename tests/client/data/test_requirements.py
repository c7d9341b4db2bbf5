"""What a study needs of a center: each requirement that is not met is told, with a remedy."""

from pathlib import Path

import pytest

from client.data.census import Expectation
from client.data.checks import Subject
from client.data.labels import UNLABELLED, CaseLabels
from client.data.manifest import Case, Manifest
from client.data.requirements import crop_issues, expectation_issues, study_issues
from client.data.volume import Grid
from protocol.messages.instruction import Part
from protocol.messages.settings import Model, Preprocessing, Split, StudySettings
from protocol.modalities import Modality
from tests.support.clinical_table import SCHEMA

LARGE = Grid((60, 60, 60), (4.0, 4.0, 4.0))
SMALL = Grid((47, 60, 60), (4.0, 4.0, 4.0))
"""192 mm are wanted along each axis: 48 voxels of 4 mm."""


def case(name: str, *files: str, grid: Grid = LARGE, labels: CaseLabels = UNLABELLED) -> Case:
    paths = {file: Path(file) for file in files}
    return Case(name, name, "a", paths, dict.fromkeys(paths, grid), {}, labels=labels)  # type: ignore[arg-type]


def settings(*tasks: str, **split: float) -> StudySettings:
    return StudySettings.model_validate(
        {
            "study": "s",
            "seed": 0,
            "model": Model(name="m"),
            "tasks": tasks or ("segmentation",),
            "labels": SCHEMA,
            "split": Split(**split),  # type: ignore[arg-type]
        }
    )


def told(
    parts: dict[str, Part], *tasks: str, offered: tuple[Modality, ...] = ("ct",), fewest: int = 1, **split: float
) -> list[tuple[str, str]]:
    """What is said of cases a, b and c with CT and contour, by code and grade."""
    manifest = Manifest("x", tuple(case(name, "ct", "gtv") for name in "abc"))
    issues = study_issues(manifest, parts, settings(*tasks, **split), offered, fewest)
    return [(issue.code, issue.grade) for issue in issues]


COMPLETE: dict[str, Part] = {"a": "train", "b": "validation", "c": "test"}


def test_a_center_with_all_a_study_needs_has_no_finding() -> None:
    assert told(COMPLETE) == []


def test_a_part_without_a_case_is_a_requirement_that_is_not_met() -> None:
    assert told({"a": "train", "b": "train", "c": "test"}) == [("part-empty", "error")]


def test_a_part_that_the_study_leaves_empty_is_none() -> None:
    assert told({"a": "train", "b": "train", "c": "test"}, validation=0.0) == []


def test_a_modality_that_no_usable_case_has_is_named() -> None:
    assert told(COMPLETE, offered=("ct", "pet")) == [("no-modality", "error")]


def test_scores_that_would_be_withheld_are_told() -> None:
    assert told(COMPLETE, fewest=2) == [("withheld", "warning")]


def test_what_would_be_withheld_is_told_with_the_whole_split_and_how_many_would_do() -> None:
    """Parts of 0.16 and 0.2: from 10 patients on both have 2."""
    manifest = Manifest("x", tuple(case(name, "ct", "gtv") for name in "abc"))
    (issue,) = study_issues(manifest, COMPLETE, settings(), ("ct",), 2)
    assert "train 1, validation 1, test 1" in issue.message
    assert "10 patients suffice" in issue.remedy
    assert "the comparison that the no-harm gate asks for" in issue.remedy


@pytest.mark.parametrize(
    ("files", "fewest", "found"),
    [
        (["ct", "ct", "ct pet"], 2, ["1 of 3 training case(s) with PET"]),
        (["ct", "ct", "ct pet"], 1, []),
        (["ct", "ct", "pet", "pet", "ct pet"], 2, ["1 of 5 training case(s) with CT+PET"]),
        (["ct", "ct", "pet", "pet"], 2, []),
        (["ct", "ct pet"], 3, []),
    ],
)
def test_a_modality_that_too_few_training_cases_hold_is_told(files: list[str], fewest: int, found: list[str]) -> None:
    """Of pairs only where each modality has enough; where all that trains is too little, another warning says so."""
    manifest = Manifest("x", tuple(case(str(n), *held.split(), "gtv") for n, held in enumerate(files)))
    drawn: dict[str, Part] = dict.fromkeys(map(str, range(len(files))), "train")
    issues = study_issues(manifest, drawn, settings(validation=0.0, test=0.0), ("ct", "pet"), fewest)
    told = [issue for issue in issues if issue.file == "modalities"]
    assert [(issue.code, issue.grade) for issue in told] == [("withheld", "warning")] * len(found)
    assert [issue.message.partition("found ")[2].partition(", ")[0] for issue in told] == found


def test_a_modality_that_no_training_case_holds_is_told_of_a_center_that_has_it() -> None:
    manifest = Manifest(
        "x", tuple(case(name, *held.split(), "gtv") for name, held in {"a": "ct", "b": "ct pet"}.items())
    )
    drawn: dict[str, Part] = {"a": "train", "b": "test"}
    issues = study_issues(manifest, drawn, settings(validation=0.0), ("ct", "pet"), 1)
    assert any("found 0 of 1 training case(s) with PET, expected at least 1" in issue.message for issue in issues)


def test_a_task_may_be_left_to_other_centers_but_not_every_task() -> None:
    assert told(COMPLETE, "segmentation", "survival") == [("task-absent", "warning")]
    assert ("task-absent", "error") in told({}, "survival")


@pytest.mark.parametrize(
    ("grids", "found"),
    [([LARGE, LARGE], []), ([LARGE, SMALL], [("crop", "note")]), ([SMALL, SMALL], [("crop", "warning")])],
)
def test_a_crop_larger_than_the_images_is_told(grids: list[Grid], found: list[tuple[str, str]]) -> None:
    cases = [case(str(n), "ct", grid=grid) for n, grid in enumerate(grids)]
    issues = crop_issues(Subject("x", "", Path()), cases, Preprocessing())
    assert [(issue.code, issue.grade) for issue in issues] == found


def test_half_a_voxel_less_than_the_crop_still_fills_it() -> None:
    """190 mm are 47.5 voxels of the study, which become 48."""
    cases = [case("a", "ct", grid=Grid((95, 95, 95), (2.0, 2.0, 2.0)))]
    assert list(crop_issues(Subject("x", "", Path()), cases, Preprocessing())) == []


@pytest.mark.parametrize(
    ("expected", "required", "found"),
    [
        (Expectation(2, "--expected"), True, []),
        (Expectation(3, "--expected"), True, ["error"]),
        (Expectation(2, "list", frozenset("az")), True, ["error"]),
        (Expectation(3, "folders", frozenset("abz")), False, ["warning"]),
        (Expectation(3, "folders", frozenset("ab")), False, []),
    ],
)
def test_fewer_cases_than_expected_are_told(expected: Expectation, required: bool, found: list[str]) -> None:
    manifest = Manifest("x", (case("a", "ct"), case("b", "ct")))
    assert [issue.grade for issue in expectation_issues(manifest, expected, required=required)] == found
