"""From edited objects to labels: taken once, compared, noted, and never by mistake."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from client.corrections.correction_run import Result, Wishes, bring_back, discreet
from client.corrections.ledger import read_ledger
from client.data.conversion_file import read_conversion, write_conversion
from client.data.scan import scan_center
from client.data.split_file import draw_parts_once
from protocol.errors import CaseError
from protocol.messages.settings import Model, Split, StudySettings
from tests.support.corrected_study import Corrected, make_corrected, shift
from tests.support.dicom_study import MadeStudy
from tests.support.two_cases import write_two_cases

CANARIES = ("Canary", "PHANTOM", "29991231", "Jane")


def take(study: Corrected, edited: Path | None = None, **wishes: object) -> Result:
    found = Wishes(**wishes)  # type: ignore[arg-type]
    return bring_back(edited or study.edited, study.predictions, study.dest, study.private, found, lambda _: None)


def states(result: Result) -> list[tuple[str, str]]:
    return [(outcome.case, outcome.state) for outcome in result.outcomes]


def told(result: Result) -> list[tuple[str, str]]:
    return [(issue.code, issue.grade) for issue in result.all_issues]


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_an_edited_object_becomes_the_label_of_its_case(study: Corrected, kind: str) -> None:
    """Moved by one voxel; both ways of saying a mask give the same voxels."""
    study.edit(shift, kind=kind)
    result = take(study)
    assert states(result) == [(study.case, "taken")]
    assert (study.label.array_zyx == shift(study.predicted.array_zyx)).all()
    (outcome,) = result.outcomes
    assert outcome.comparison is not None
    assert outcome.comparison.predicted_ml == pytest.approx(outcome.comparison.corrected_ml)
    assert 0.5 < (outcome.comparison.dice or 0) < 1
    record = read_conversion(study.dest / study.case)
    assert record is not None
    assert record.contours_from == "correction"
    assert result.complete


def test_a_correction_is_taken_once(study: Corrected) -> None:
    study.edit(shift)
    assert [states(take(study))[0][1] for _ in range(2)] == ["taken", "known"]
    assert len(read_ledger(study.private.path)) == 1


def test_a_correction_that_its_case_lost_is_taken_again(study: Corrected) -> None:
    study.edit(shift)
    take(study)
    record = read_conversion(study.dest / study.case)
    assert record is not None
    write_conversion(replace(record, contours_from="rtstruct"), study.dest / study.case)
    assert states(take(study)) == [(study.case, "taken")]


def test_the_prediction_that_nobody_changed_is_told_and_is_no_label(study: Corrected) -> None:
    for edited in (study.predictions, None):
        if edited is None:
            study.edit(lambda mask: mask)
        result = take(study, edited)
        assert states(result) == [(study.case, "unchanged")]
        assert told(result) == [("correction-same" if edited is None else "correction-unedited", "note")]
        assert result.complete
    assert not (study.dest / study.case / "gtv.nii.gz").exists()
    assert read_ledger(study.private.path) == ()


def test_a_prediction_that_somebody_looked_at_is_a_label_on_request(study: Corrected) -> None:
    assert states(take(study, study.predictions, accept=True)) == [(study.case, "taken")]
    assert (study.label.array_zyx == study.predicted.array_zyx).all()
    (entry,) = read_ledger(study.private.path)
    assert entry.comparison.dice == 1.0


def test_an_empty_contour_is_refused_by_name(study: Corrected) -> None:
    study.edit(np.zeros_like)
    result = take(study)
    assert states(result) == [(study.case, "refused")]
    assert told(result) == [("correction-empty", "error")]
    assert not result.complete


def test_one_that_cannot_be_used_stops_none_of_the_others(study: Corrected) -> None:
    study.edit(shift)
    study.edit(shift, name="other", StudyInstanceUID="1.2.3.4")
    result = take(study)
    assert states(result) == [(study.case, "taken")]
    assert told(result) == [("correction-study", "error")]
    assert not result.complete


def test_a_study_that_is_no_case_yet_is_converted_under_the_id_of_its_key(tmp_path: Path, made: Corrected) -> None:
    """Images lie in the export; the data folder is new, and the private folder's key is that of the first."""
    study = replace(made.copy_to(tmp_path / "copy"), dest=tmp_path / "other")
    private = made.private
    (tmp_path / "other.private").mkdir(mode=0o700)
    (tmp_path / "other.private" / "key").write_bytes(private.key)
    (tmp_path / "other.private" / "key").chmod(0o600)
    study.edit(shift)
    with_images = Wishes(images=study.source)
    result = bring_back(study.edited, study.predictions, study.dest, study.private, with_images, lambda _: None)
    assert states(result) == [(made.case, "taken")]
    assert {path.name for path in (study.dest / made.case).iterdir()} == {
        *("ct.nii.gz", "pet.nii.gz", "gtv.nii.gz"),
        "conversion.json",
    }


def test_a_study_without_images_is_refused_with_what_to_do(study: Corrected) -> None:
    study.private.write_origins({})
    study.edit(shift)
    result = take(study)
    assert told(result) == [("correction-refused", "error")]
    assert "--images" in result.all_issues[0].message


def test_who_drew_and_from_which_file_stays_in_the_private_folder(tmp_path: Path) -> None:
    study = make_corrected(tmp_path, MadeStudy(patient_name="Canary^One"))
    path = study.edit(shift, kind="rtstruct", OperatorsName="Doe^Jane", StructureSetLabel="Canary")
    data = dcmread(path)
    data.StructureSetROISequence[0].ROIName = "GTV Canary"
    data.save_as(path)
    result = take(study)
    (entry,) = read_ledger(study.private.path)
    assert (entry.by, entry.drawn[:8]) == ("Doe^Jane", "29991231")
    written = b"".join(path.read_bytes() for path in study.dest.rglob("*") if path.suffix in {".json", ".csv"})
    manifest = scan_center("a", [study.dest], ("ct", "pet"))
    shown = [issue.message for issue in discreet(result.all_issues, study.private)]
    for text in (written.decode(), repr(manifest), json.dumps(shown)):
        assert [word for word in CANARIES if word in text] == []


def test_no_prediction_is_an_error(study: Corrected, tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"prediction\.json"):
        bring_back(study.edited, tmp_path, study.dest, study.private, Wishes(), lambda _: None)


SETTINGS = StudySettings(study="s", seed=0, model=Model(name="m"), split=Split(validation=0.0, test=0.4))


def parts(study: Corrected, home: Path) -> dict[str, str]:
    return dict(draw_parts_once(scan_center("a", [study.dest], ("ct", "pet")), SETTINGS, home))


def test_a_corrected_case_trains_in_the_next_stage_and_moves_nobody(study: Corrected, tmp_path: Path) -> None:
    """Two cases had a contour when the split was drawn; the third gets one now."""
    write_two_cases(study.dest)
    before = parts(study, tmp_path)
    assert sorted(before.values()) == ["test", "train"]
    study.edit(shift)
    take(study)
    assert parts(study, tmp_path) == {**before, study.case: "train"}


def test_a_case_that_tests_goes_on_testing_when_it_is_corrected(study: Corrected, tmp_path: Path) -> None:
    """Of two patients the one whose contour is corrected tests: seeds are tried until it does."""

    def grow(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return mask | shift(mask)

    write_two_cases(study.dest)
    take(study, study.predictions, accept=True)
    drawn = {
        seed: draw_parts_once(
            scan_center("a", [study.dest], ("ct", "pet")), SETTINGS.model_copy(update={"seed": seed}), tmp_path
        )
        for seed in range(8)
    }
    seed = next(seed for seed, found in drawn.items() if found[study.case] == "test")
    study.edit(grow)
    assert states(take(study)) == [(study.case, "taken")]
    again = draw_parts_once(
        scan_center("a", [study.dest], ("ct", "pet")), SETTINGS.model_copy(update={"seed": seed}), tmp_path
    )
    assert again == drawn[seed]
