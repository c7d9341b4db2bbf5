"""An error of a part that is left out does not keep the case out."""

from client.convert.contract import subject_of
from client.convert.softening import soften


def test_an_error_becomes_a_warning_that_says_what_is_missing_and_a_note_stays():
    subject = subject_of("case-x")
    error = subject.issue("unreadable", "pet.nii.gz", "1", "2", "do")
    note = subject.issue("told", "", "1", "2", "do", grade="note")
    softened, same = soften([error, note])
    assert (softened.grade, softened.code) == ("warning", "unreadable")
    assert softened.message.endswith("; the case goes on without pet.nii.gz")
    assert same == note
