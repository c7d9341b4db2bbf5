"""A series is known by what its instances share."""

from tests.support.indexed import series


def test_a_series_has_the_uids_of_its_instances_and_all_of_their_files() -> None:
    made = series("ct", "1.2", [0.0, 3.0], patient="A")
    assert (made.uid, made.study_uid, made.patient_id, made.frame_of_reference_uid) == ("1.2", "study", "A", "frame")
    assert [str(path) for path in made.paths] == ["1.2/0", "1.2/1"]
