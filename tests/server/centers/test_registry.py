"""The registry of centers: what it keeps, who may read and change it."""

import json

import pytest

from protocol.enrolment.kit import read_kit
from protocol.errors import EnrolmentError
from server.centers.enrolment import Enrolment
from server.centers.registry import CenterRegistry, hold_registry, read_registry, write_registry
from server.study.directory import StudyDirectory
from tests.support.enrolled_study import (
    Register,
    answer_to,
    enroll,
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
    write_registry(directory.enrolment, CenterRegistry(study="other"))
    with pytest.raises(EnrolmentError, match="is the registry of study 'other', expected 'small'"):
        enrolment.invite("center-a")


def test_the_registry_keeps_what_a_center_agreed_to(enrolment: Enrolment, register: Register) -> None:
    kit_file = enrolment.invite("center-a")
    agreement = read_kit(kit_file)[0].agreement
    enrolment.accept(answer_to(kit_file, new_key()), register)
    member = enrolment.registry.member("center-a")
    assert (member.agreed_sha256, member.bundle_sha256) == (agreement.agreed_sha256, agreement.bundle_sha256)
    assert len(member.agreed_sha256) == len(member.bundle_sha256) == 64


def test_no_byte_of_a_registry_can_change_unnoticed(
    enrolment: Enrolment, register: Register, directory: StudyDirectory
) -> None:
    enroll(enrolment, register, ["center-a"])
    content, expected = directory.enrolment.read_bytes(), enrolment.registry
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        directory.enrolment.write_bytes(changed)
        try:
            assert read_registry(directory.enrolment, "small") == expected, f"byte {place}"
        except EnrolmentError:
            continue


def test_a_registry_without_its_seal_is_damaged(enrolment: Enrolment, directory: StudyDirectory) -> None:
    enrolment.invite("center-a")
    there = json.loads(directory.enrolment.read_text())
    directory.enrolment.write_text(json.dumps({name: there[name] for name in there if name != "seal"}))
    with pytest.raises(
        EnrolmentError, match="is damaged; restore it from a backup: expected a JSON object with 'seal'"
    ):
        enrolment.invite("center-d")


def test_a_registry_of_an_earlier_version_is_sealed_at_the_next_look_and_its_keys_are_looked_at(
    enrolment: Enrolment, register: Register, directory: StudyDirectory
) -> None:
    enroll(enrolment, register, ["center-a"])
    expected = enrolment.registry
    earlier = expected.model_copy(update={"schema_version": 1}).model_dump_json()
    fingerprint = expected.member("center-a").fingerprint
    directory.enrolment.write_text(earlier.replace(fingerprint, fingerprint.swapcase()))
    with pytest.raises(EnrolmentError, match="the key of center 'center-a' is not sha256:"):
        enrolment.reconcile(register)
    directory.enrolment.write_text(earlier)
    assert enrolment.reconcile(register) == ()
    assert enrolment.registry == expected
    assert "seal" in json.loads(directory.enrolment.read_text())


def test_a_link_to_nothing_is_no_empty_registry(enrolment: Enrolment, directory: StudyDirectory) -> None:
    directory.enrolment.symlink_to(directory.root / "gone.json")
    with pytest.raises(EnrolmentError, match=r"is a link to \S+gone.json, which is gone; restore that"):
        enrolment.invite("center-a")
