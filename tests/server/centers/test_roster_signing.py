"""The authority signs the keys of those who are enrolled, and of nobody else."""

import pytest

from protocol.enrolment.roster import check_roster
from protocol.errors import EnrolmentError
from server.centers.enrolment import Enrolment
from server.centers.roster_signing import make_roster, roster_notice
from server.study.directory import StudyDirectory
from server.study.roster_file import read_roster
from tests.support.enrolled_study import Register, enroll, openssh


def test_a_roster_holds_the_enrolled_keys_under_the_authority_of_the_kits(directory: StudyDirectory) -> None:
    enrolment = Enrolment(directory)
    keys = enroll(enrolment, Register(), ["center-a"])
    enrolment.invite("center-d")
    assert roster_notice(directory) == ""
    made = make_roster(directory)
    assert dict(made.keys) == {"center-a": openssh(keys["center-a"])}
    assert f"concilium roster --study {directory.root}" in roster_notice(directory)
    assert made.issued > 1_700_000_000
    pem = directory.authority_certificate.read_text()
    assert check_roster(read_roster(directory.roster, "small"), pem, "small") == made


def test_without_a_center_there_is_none(directory: StudyDirectory) -> None:
    with pytest.raises(EnrolmentError, match="no center of study 'small' is enrolled"):
        make_roster(directory)
