"""The registry of centers: what it keeps, who may read and change it."""

import pytest

from protocol.enrolment.kit import read_kit
from protocol.errors import EnrolmentError
from server.centers.enrolment import Enrolment
from server.centers.registry import hold_registry
from server.study.directory import StudyDirectory
from tests.support.enrolled_study import (
    Register,
    answer_to,
    new_key,
)


def test_the_registry_keeps_no_token_and_only_its_owner_can_read_it(
    enrolment: Enrolment, directory: StudyDirectory
) -> None:
    kit, _ = read_kit(enrolment.invite("center-a"))
    assert kit.token not in directory.enrolment.read_text()
    assert directory.enrolment.stat().st_mode & 0o777 == 0o600


def test_a_command_that_holds_the_registry_for_too_long_is_named(directory: StudyDirectory) -> None:
    with (
        hold_registry(directory.enrolment),
        pytest.raises(EnrolmentError, match="another command works on the registry"),
        hold_registry(directory.enrolment, wait_s=0.1),
    ):
        pass


def test_the_lock_is_free_after_an_error(enrolment: Enrolment, directory: StudyDirectory) -> None:
    with pytest.raises(EnrolmentError):
        enrolment.renew("center-a")
    with hold_registry(directory.enrolment, wait_s=0):
        pass


def test_a_damaged_registry_is_an_error_and_not_an_empty_one(enrolment: Enrolment, directory: StudyDirectory) -> None:
    directory.enrolment.write_text('{"study": "small", "members": {"center-a": {}}}')
    with pytest.raises(EnrolmentError, match="is damaged; restore it from a backup"):
        enrolment.invite("center-a")


def test_a_registry_of_another_study_is_refused(enrolment: Enrolment, directory: StudyDirectory) -> None:
    directory.enrolment.write_text('{"study": "other"}')
    with pytest.raises(EnrolmentError, match="is the registry of study 'other', expected 'small'"):
        enrolment.invite("center-a")


def test_the_registry_keeps_what_a_center_agreed_to(enrolment: Enrolment, register: Register) -> None:
    kit_file = enrolment.invite("center-a")
    agreement = read_kit(kit_file)[0].agreement
    enrolment.accept(answer_to(kit_file, new_key()), register)
    member = enrolment.registry.member("center-a")
    assert (member.agreed_sha256, member.bundle_sha256) == (agreement.agreed_sha256, agreement.bundle_sha256)
    assert len(member.agreed_sha256) == len(member.bundle_sha256) == 64
