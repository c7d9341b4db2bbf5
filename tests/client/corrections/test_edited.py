"""Which object corrects which prediction, and why another does not."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from client.corrections.edited import Matched, match
from client.corrections.predictions import find_predictions
from client.data.checks import Issue
from client.dicom.index import index_source
from tests.support.corrected_study import Corrected, shift


def match_all(study: Corrected, folder: Path | None = None) -> tuple[tuple[Matched, ...], tuple[Issue, ...]]:
    """What corrects something, and all that is told."""
    series, _ = index_source(folder or study.edited, study.private.unpacked, progress=lambda _: None)
    predictions, _ = find_predictions(study.predictions)
    return match([each for each in series if each.kind in {"seg", "rtstruct"}], predictions)


def matched(study: Corrected, folder: Path | None = None) -> tuple[tuple[Matched, ...], list[tuple[str, str]]]:
    """What corrects something, and code and grade of what is told."""
    found, issues = match_all(study, folder)
    return found, [codes(issue) for issue in issues]


def codes(issue: Issue) -> tuple[str, str]:
    return issue.code, issue.grade


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_an_object_drawn_on_the_predicted_series_corrects_its_prediction(study: Corrected, kind: str) -> None:
    study.edit(shift, kind=kind, **{"ContentCreatorName" if kind == "seg" else "OperatorsName": "Doe^Jane"})
    (found,), told = matched(study)
    assert (found.predicted.case, found.edited.own, told) == (study.case, False, [])
    assert found.edited.drawn.startswith("29991231")
    assert found.edited.by == "Doe^Jane"


def test_the_prediction_itself_is_marked_as_its_own(study: Corrected) -> None:
    """SEG and RTSTRUCT of one prediction are one."""
    (found,), told = matched(study, study.predictions)
    assert (found.edited.own, told) == (True, [])


def test_an_edited_object_goes_before_the_prediction_and_the_newest_before_all(study: Corrected) -> None:
    study.edit(shift, name="first", ContentDate="29980101")
    newest = study.edit(shift, name="second")
    for own in (study.predictions / study.case).glob("*.dcm"):
        (study.edited / own.name).write_bytes(own.read_bytes())
    (found,), told = matched(study)
    assert (found.edited.instance.path, told) == (newest, [("correction-several", "note")])


@pytest.mark.parametrize(
    ("tags", "code", "grade", "begins"),
    [
        ({"StudyInstanceUID": generate_uid()}, "correction-study", "error", "edited object: found contours of another"),
        (
            {"ContentDate": "19990101"},
            "correction-older",
            "warning",
            "case '{case}': edited object: found contours older",
        ),
    ],
)
def test_what_corrects_no_prediction_is_named(
    study: Corrected, tags: dict[str, str], code: str, grade: str, begins: str
) -> None:
    path = study.edit(shift, **tags)
    found, (issue,) = match_all(study)
    assert (found, issue.code, issue.grade) == ((), code, grade)
    assert issue.message.startswith(begins.format(case=study.case))
    assert "gtv.nii.gz" not in issue.message
    assert (issue.file, issue.source) == ("", str(path))


def test_contours_of_another_series_of_the_study_are_named(study: Corrected) -> None:
    study.edit(shift)
    series, _ = index_source(study.edited, study.private.unpacked, progress=lambda _: None)
    (predicted,), _ = find_predictions(study.predictions)
    found, (issue,) = match(series, [replace(predicted, series_uids=("9.9",))])
    assert (found, codes(issue)) == ((), ("correction-series", "error"))
    assert issue.case == study.case
    assert str(study.edited) not in issue.message
    assert issue.source.startswith(str(study.edited))


def test_contours_that_name_no_series_count_by_their_frame_of_reference(study: Corrected) -> None:
    study.edit(shift)
    series, _ = index_source(study.edited, study.private.unpacked, progress=lambda _: None)
    bare = [replace(each, instances=tuple(replace(one, referenced=()) for one in each.instances)) for each in series]
    (predicted,), _ = find_predictions(study.predictions)
    assert len(match(bare, [predicted])[0]) == 1
    assert match(bare, [replace(predicted, frame_of_reference_uid="9.9")])[0] == ()
