"""What is found names nobody in its message; where it was found stays in its source."""

from client.dicom.findings import RefusedSeriesError, SeriesSubject, UnreadableFileError, find_in_archive
from protocol.errors import CaseError
from tests.support.indexed import ABOUT_CT, SUBJECT


def test_a_finding_in_the_archive_has_no_case_and_keeps_its_source_out_of_the_message() -> None:
    issue = find_in_archive("code", "this", "that", "do it", grade="note", source="/DOE^JANE/1.dcm")
    assert (issue.case, issue.grade, issue.source) == ("", "note", "/DOE^JANE/1.dcm")
    assert issue.message == "found this, expected that; do it"


def test_a_finding_about_a_series_names_case_and_file_and_has_the_uid_as_source() -> None:
    issue = ABOUT_CT.issue("code", "this", "that", "do it")
    assert (issue.case, issue.file, issue.source, issue.fatal) == ("case-1", "ct.nii.gz", "1.2.3", True)
    assert "1.2.3" not in issue.message
    other = SeriesSubject(SUBJECT, "ct.nii.gz", "1.2.3").issue("code", "this", "that", "do it", source="/a/b")
    assert other.source == "/a/b"


def test_errors_are_those_of_a_case_and_carry_what_was_found() -> None:
    refused = RefusedSeriesError([find_in_archive("a", "x", "y", "z"), find_in_archive("b", "x", "y", "z")])
    assert [issue.code for issue in refused.issues] == ["a", "b"]
    unreadable = UnreadableFileError("an empty file", "/DOE^JANE/1.dcm")
    assert "DOE" not in str(unreadable)
    assert isinstance(refused, CaseError)
    assert isinstance(unreadable, CaseError)
