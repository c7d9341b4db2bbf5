"""Answers that were not asked for, and UIDs that name no file."""

import pytest

from client.pacs.contract import FoundStudy, StudyFailedError, StudyQuery, safe_uids


def test_a_study_that_was_not_asked_for_is_no_answer() -> None:
    study = FoundStudy("1.2", "A-1", "P", "20200301")
    assert study.answers(StudyQuery(study_uid="1.2", patient_id="P"))
    assert not study.answers(StudyQuery(accession="A-2"))


@pytest.mark.parametrize("uid", ["", "../1", "1.2/3", "1" * 65, ".1", "1.2\n"])
def test_what_is_no_uid_names_no_file(uid: str) -> None:
    with pytest.raises(StudyFailedError, match="for a UID"):
        safe_uids(["1.2", uid], "study 1")


def test_uids_with_leading_zeros_are_known_in_archives() -> None:
    assert safe_uids(["1.02.3", "2." + "9" * 62], "study 1") == ("1.02.3", "2." + "9" * 62)
