"""Each PET has the CT that fits it best; nothing of two patients is ever put together."""

import pytest

from client.dicom.pairing import pair_studies
from client.dicom.series import PairedStudy, Series
from tests.support.indexed import codes, series

PET = series("pet", "PET", range(0, 40, 4), corrections=("DECY", "ATTN"), acquired="20200301101000")
CT = series("ct", "CT", range(0, 40, 3), acquired="20200301100000")


def only(*given: Series) -> PairedStudy:
    (study,), issues = pair_studies(given)
    assert issues == ()
    return study


def uids(study: PairedStudy) -> tuple[str, str]:
    return study.ct.uid if study.ct else "", study.pet.uid if study.pet else ""


def test_a_pet_and_a_ct_of_one_study_and_frame_are_a_case_without_a_word() -> None:
    contours = series("rtstruct", "RS", referenced=("CT",))
    study = only(contours, PET, CT)
    assert uids(study) == ("CT", "PET")
    assert [each.uid for each in study.contours] == ["RS"]
    assert (study.study_uid, study.patient_id, study.issues) == ("study", "P", ())


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, {"frame_of_reference_uid": "other"}),
        ({"frame_of_reference_uid": "frame"}, {"study_uid": "other"}),
        ({"z": range(0, 40, 3)}, {"z": range(20)}),
        ({"z": range(0, 40, 1)}, {"z": range(0, 40, 3)}),
        ({"acquired": "20200301101500"}, {"acquired": "20200301080000"}),
    ],
    ids=["frame", "study", "coverage", "slices", "time"],
)
def test_of_several_ct_the_best_is_taken_in_either_order(better: dict[str, object], worse: dict[str, object]) -> None:
    made = []
    for uid, facts in (("better", better), ("worse", worse)):
        others = {name: value for name, value in facts.items() if name != "z"}
        made.append(series("ct", uid, facts.get("z", range(0, 40, 3)), **others))  # type: ignore[arg-type]
    for given in ([PET, *made], [PET, *reversed(made)]):
        studies, _ = pair_studies(given)
        assert [uids(study) for study in studies if study.pet] == [("better", "PET")]


def test_others_are_named_in_a_note() -> None:
    study = only(PET, CT, series("ct", "THICK", range(0, 40, 8)))
    assert codes(study.issues) == {("passed-over", "note"): 1}
    assert study.issues[0].source == "THICK"


def test_a_ct_of_another_patient_never_pairs_even_in_the_same_frame() -> None:
    other = series("ct", "OTHER", range(0, 40, 1), patient="Q", study_uid="study-q")
    studies, issues = pair_studies([PET, other])
    assert [uids(study) for study in studies] == [("", "PET"), ("OTHER", "")]
    assert codes(issues) == {("frame-shared", "warning"): 1}
    assert codes(studies[0].issues) == {("no-ct", "warning"): 1}


def test_a_ct_of_another_study_pairs_by_its_frame_with_a_note() -> None:
    study = only(PET, series("ct", "CT", range(0, 40, 3), study_uid="before"))
    assert uids(study) == ("CT", "PET")
    assert codes(study.issues) == {("other-study", "note"): 1}


def test_a_ct_without_the_frame_pairs_in_its_study_with_a_warning_and_not_beyond() -> None:
    study = only(PET, series("ct", "CT", range(0, 40, 3), frame_of_reference_uid=""))
    assert codes(study.issues) == {("other-frame", "warning"): 1}
    studies, _ = pair_studies([PET, series("ct", "CT", range(40), frame_of_reference_uid="", study_uid="before")])
    assert sorted(uids(study) for study in studies) == [("", "PET"), ("CT", "")]


def test_a_ct_that_shares_no_place_with_the_pet_is_not_its_ct() -> None:
    study = only(PET, series("ct", "CT", range(100, 140, 3)))
    assert uids(study) == ("", "PET")
    assert codes(study.issues) == {("no-ct", "warning"): 1}


def test_the_pet_corrected_for_attenuation_is_preferred_to_one_with_more_slices() -> None:
    raw = series("pet", "RAW", range(40), corrections=("DECY",))
    assert uids(only(raw, PET, CT)) == ("CT", "PET")
    alone = only(raw, CT)
    assert uids(alone) == ("CT", "RAW")
    assert codes(alone.issues) == {("pet-not-corrected", "warning"): 1}


def test_a_series_over_time_goes_last_however_many_planes_it_has() -> None:
    gated = series("pet", "GATED", [*range(0, 40, 4)] * 8, corrections=("DECY", "ATTN"))
    breathing = series("ct", "4D", [*range(40)] * 10)
    assert uids(only(gated, breathing, PET, CT)) == ("CT", "PET")


def test_a_ct_alone_is_a_case_the_one_with_most_slices() -> None:
    study = only(CT, series("ct", "SHORT", range(3)))
    assert (uids(study), codes(study.issues)) == (("CT", ""), {("passed-over", "note"): 1})


def test_two_studies_of_a_patient_are_two_cases() -> None:
    facts = {"study_uid": "b", "frame_of_reference_uid": "b"}
    second = [series("pet", "PET-2", range(9), **facts), series("ct", "CT-2", range(9), **facts)]
    studies, issues = pair_studies([PET, CT, *second])
    assert sorted(uids(study) for study in studies) == [("CT", "PET"), ("CT-2", "PET-2")]
    assert issues == ()
