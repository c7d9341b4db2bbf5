"""A UID has one owner."""

from client.dicom.patients import leave_out_shared
from tests.support.indexed import codes, series


def test_a_study_under_two_patients_is_left_out() -> None:
    one, other = series("ct", "1", patient="A"), series("ct", "2", patient="B")
    third = series("ct", "3", patient="B", study_uid="other")
    kept, issues = leave_out_shared([*one.instances, *other.instances, *third.instances])
    assert [instance.series_uid for instance in kept] == ["3"]
    assert codes(issues) == {("owners-mixed", "error"): 1}
    assert [issue.source for issue in issues] == ["study"]


def test_a_series_in_two_studies_is_left_out() -> None:
    one, other = series("ct", "1", study_uid="x"), series("ct", "1", study_uid="y")
    kept, issues = leave_out_shared([*one.instances, *other.instances])
    assert (kept, codes(issues)) == ([], {("owners-mixed", "error"): 1})


def test_a_study_without_patient_is_a_patient_of_its_own() -> None:
    """Else all such studies would be those of one patient, and never be told apart."""
    one, other = series("ct", "1", patient="", study_uid="x"), series("ct", "2", patient="", study_uid="y")
    kept, issues = leave_out_shared([*one.instances, *other.instances])
    assert [instance.patient_id for instance in kept] == ["x", "y"]
    assert codes(issues) == {("no-patient", "warning"): 2}
