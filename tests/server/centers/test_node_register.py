"""Flower's register follows the registry, whatever broke off before."""

import pytest

from protocol.errors import EnrolmentError, LaunchError
from server.centers.enrolment import Enrolment
from server.study.directory import StudyDirectory
from tests.support.enrolled_study import (
    Register,
    answer_to,
    enroll,
    new_key,
    openssh,
)


def test_reconciling_registers_who_was_accepted_while_the_superlink_was_down(
    enrolment: Enrolment, register: Register
) -> None:
    with pytest.raises(EnrolmentError):
        enrolment.accept(answer_to(enrolment.invite("center-a"), new_key()), Register(down=True))
    enrolment.reconcile(register)
    assert (register.names, enrolment.registry.member("center-a").node_id) == (["center-a"], "101")


def test_a_registration_whose_answer_was_lost_is_found_again(enrolment: Enrolment, register: Register) -> None:
    key = new_key()
    answer = answer_to(enrolment.invite("center-a"), key)
    with pytest.raises(EnrolmentError):
        enrolment.accept(answer, Register(down=True))
    register.register(openssh(key), "center-a")
    enrolment.accept(answer, register)
    assert enrolment.registry.member("center-a").node_id == "101"


def test_a_new_database_learns_every_enrolled_center(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a", "center-d"])
    enrolment.revoke("center-d", register)
    fresh = Register()
    enrolment.reconcile(fresh)
    assert fresh.names == ["center-a"]


def test_reconciling_twice_does_nothing_the_second_time(
    enrolment: Enrolment, register: Register, directory: StudyDirectory
) -> None:
    enroll(enrolment, register, ["center-a"])
    before = directory.enrolment.stat().st_ino
    assert enrolment.reconcile(register) == ()
    assert directory.enrolment.stat().st_ino == before


def test_a_node_that_the_registry_does_not_know_is_turned_away(enrolment: Enrolment, register: Register) -> None:
    register.register(openssh(new_key()), "stranger")
    assert "center 'stranger': key SHA256:" in enrolment.reconcile(register)[0]
    assert register.nodes() == ()


def test_reconciling_passes_the_superlinks_own_words_on(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a"])
    register.down = True
    with pytest.raises(LaunchError, match="does not answer"):
        enrolment.reconcile(register)


def test_a_key_that_is_refused_holds_up_no_other_center(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a", "center-d"])
    fresh = Register()
    fresh.refusing = {"center-a"}
    with pytest.raises(LaunchError, match=r"for center-a: center 'center-a': the SuperLink refuses\."):
        enrolment.reconcile(fresh)
    assert fresh.names == ["center-d"]
    assert [enrolment.registry.member(center).node_id for center in ("center-a", "center-d")] == ["", "101"]


def test_a_stranger_who_cannot_be_turned_away_holds_up_no_center(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a"])
    fresh = Register()
    fresh.register(openssh(new_key()), "stranger")
    fresh.refusing = {"stranger"}
    with pytest.raises(LaunchError, match="for stranger: "):
        enrolment.reconcile(fresh)
    assert fresh.names == ["center-a", "stranger"]
