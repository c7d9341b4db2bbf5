"""Which answers change the registry, and which are refused with what words."""

import pytest

from protocol.enrolment.kit import read_kit
from protocol.errors import EnrolmentError, KitError
from server.centers.enrolment import Enrolment
from server.study.directory import StudyDirectory
from tests.support.enrolled_study import (
    Clock,
    Register,
    answer_to,
    enroll,
    new_key,
    openssh,
    renewal_answer,
)


def test_the_tokens_hash_goes_when_the_kit_is_used(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a"])
    assert enrolment.registry.member("center-a").token_verifier == ""


def test_a_second_kit_ends_the_first(enrolment: Enrolment, register: Register) -> None:
    first = answer_to(enrolment.invite("center-a"), new_key())
    old = first.rename(first.with_name("old.answer"))
    second = answer_to(enrolment.invite("center-a"), new_key())
    with pytest.raises(KitError, match=r"is to kit .*, the last one sent is"):
        enrolment.accept(old, register)
    assert enrolment.accept(second, register) == "center-a"


def test_a_token_is_accepted_once(enrolment: Enrolment, register: Register) -> None:
    kit = enrolment.invite("center-a")
    enrolment.accept(answer_to(kit, new_key()), register)
    with pytest.raises(EnrolmentError, match=r"is enrolled with key SHA256:.* already, and a kit is used once"):
        enrolment.accept(answer_to(kit, new_key()), register)
    assert len(register.nodes()) == 1


def test_the_same_answer_is_accepted_once(enrolment: Enrolment, register: Register) -> None:
    answer = answer_to(enrolment.invite("center-a"), new_key())
    enrolment.accept(answer, register)
    with pytest.raises(EnrolmentError, match="a kit is used once"):
        enrolment.accept(answer, register)


def test_an_answer_with_another_key_than_was_proven_is_refused(enrolment: Enrolment, register: Register) -> None:
    answer = answer_to(enrolment.invite("center-a"), new_key(), public_key=openssh(new_key()))
    with pytest.raises(KitError, match="not made with the token of its kit"):
        enrolment.accept(answer, register)
    assert enrolment.registry.member("center-a").state == "invited"
    assert register.nodes() == ()


def test_one_centers_token_does_not_enrol_another(enrolment: Enrolment, register: Register) -> None:
    serial = read_kit(enrolment.invite("center-d"))[0].serial
    answer = answer_to(enrolment.invite("center-a"), new_key(), center="center-d", serial=serial)
    with pytest.raises(KitError, match="answer of center 'center-d' was not made with the token"):
        enrolment.accept(answer, register)


def test_an_answer_for_another_study_is_refused(enrolment: Enrolment, register: Register) -> None:
    answer = answer_to(enrolment.invite("center-a"), new_key(), study="lymphoma")
    with pytest.raises(KitError, match="is for study 'lymphoma', this is 'small'"):
        enrolment.accept(answer, register)


def test_an_answer_of_a_center_that_was_not_invited_is_refused(enrolment: Enrolment, register: Register) -> None:
    answer = answer_to(enrolment.invite("center-a"), new_key(), center="center-d")
    with pytest.raises(EnrolmentError, match=r"'center-d' was never invited .*in the registry: \['center-a'\]"):
        enrolment.accept(answer, register)


def test_an_expired_kit_is_refused(enrolment: Enrolment, register: Register, clock: Clock) -> None:
    answer = answer_to(enrolment.invite("center-a", days=3), new_key())
    clock.pass_days(3)
    with pytest.raises(KitError, match=r"kit of center 'center-a' expired on .*send a new kit"):
        enrolment.accept(answer, register)


def test_a_key_of_another_center_is_refused(enrolment: Enrolment, register: Register) -> None:
    key = enroll(enrolment, register, ["center-a"])["center-a"]
    with pytest.raises(EnrolmentError, match="which center 'center-a' has or had"):
        enrolment.accept(answer_to(enrolment.invite("center-d"), key), register)


def test_an_answer_to_a_kit_of_a_revoked_center_is_refused(enrolment: Enrolment, register: Register) -> None:
    answer = answer_to(enrolment.invite("center-a"), new_key())
    enrolment.revoke("center-a", register)
    with pytest.raises(EnrolmentError, match="'center-a' is revoked since it was sent this kit"):
        enrolment.accept(answer, register)


def test_a_revoked_center_comes_back_with_another_key_alone(enrolment: Enrolment, register: Register) -> None:
    key = enroll(enrolment, register, ["center-a"])["center-a"]
    enrolment.revoke("center-a", register)
    kit = enrolment.invite("center-a")
    with pytest.raises(EnrolmentError, match="none is used again"):
        enrolment.accept(answer_to(kit, key), register)
    assert enrolment.accept(answer_to(kit, new_key()), register) == "center-a"


def test_a_key_is_replaced_by_a_signature_of_the_old_one(
    enrolment: Enrolment, register: Register, directory: StudyDirectory
) -> None:
    old = enroll(enrolment, register, ["center-a"])["center-a"]
    until = enrolment.registry.member("center-a").member_until
    new = new_key()
    enrolment.accept(renewal_answer(directory.kits / "center-a.kit", new, old), register)
    assert [node.public_key for node in register.nodes()] == [openssh(new)]
    assert enrolment.registry.member("center-a").member_until == until


def test_a_key_renewal_signed_by_anybody_else_is_refused(
    enrolment: Enrolment, register: Register, directory: StudyDirectory
) -> None:
    enroll(enrolment, register, ["center-a"])
    stranger = new_key()
    answer = renewal_answer(directory.kits / "center-a.kit", stranger, stranger)
    with pytest.raises(KitError, match="is not signed by its registered key"):
        enrolment.accept(answer, register)


def test_an_earlier_key_does_not_come_back(enrolment: Enrolment, register: Register, directory: StudyDirectory) -> None:
    old, new = enroll(enrolment, register, ["center-a"])["center-a"], new_key()
    kit = directory.kits / "center-a.kit"
    enrolment.accept(renewal_answer(kit, new, old), register)
    with pytest.raises(EnrolmentError, match="none is used again"):
        enrolment.accept(renewal_answer(kit, old, new), register)


def test_a_key_renewal_of_a_revoked_center_is_refused(
    enrolment: Enrolment, register: Register, directory: StudyDirectory
) -> None:
    old = enroll(enrolment, register, ["center-a"])["center-a"]
    enrolment.revoke("center-a", register)
    with pytest.raises(EnrolmentError, match="wants another key, but is revoked"):
        enrolment.accept(renewal_answer(directory.kits / "center-a.kit", new_key(), old), register)
