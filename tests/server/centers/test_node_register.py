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
    renewal_answer,
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


def test_a_key_that_the_registry_never_had_is_told_and_left_alone_until_a_person_names_it(
    enrolment: Enrolment, register: Register
) -> None:
    register.register(openssh(new_key()), "stranger")
    with pytest.raises(LaunchError, match=r"stranger.*the registry has never had it.*`concilium revoke stranger`"):
        enrolment.reconcile(register)
    assert register.names == ["stranger"]
    enrolment.revoke("stranger", register)
    assert register.nodes() == ()
    with pytest.raises(EnrolmentError, match="center 'stranger' was never invited"):
        enrolment.revoke("stranger", register)


@pytest.mark.parametrize("loss", ["gone", "earlier"])
def test_a_registry_that_is_gone_or_of_an_earlier_day_throws_nobody_out(
    enrolment: Enrolment, register: Register, directory: StudyDirectory, loss: str
) -> None:
    """Flower takes no key twice: a center that was turned away could not come back when the registry is restored."""
    key = enroll(enrolment, register, ["center-a"])["center-a"]
    earlier = directory.enrolment.read_bytes()
    enroll(enrolment, register, ["center-d"])
    enrolment.accept(renewal_answer(directory.kits / "center-a.kit", new_key(), key), register)
    whole, nodes = directory.enrolment.read_bytes(), register.nodes()
    if loss == "gone":
        directory.enrolment.unlink()
    else:
        directory.enrolment.write_bytes(earlier)
    with pytest.raises(LaunchError, match=r"center 'center-d': key SHA256:\S+ is in the SuperLink's register"):
        enrolment.reconcile(register)
    assert register.nodes() == nodes
    directory.enrolment.write_bytes(whole)
    assert enrolment.reconcile(register) == ()


def test_a_key_that_nobody_accepted_goes_with_the_center_under_whose_name_it_stands(
    enrolment: Enrolment, register: Register
) -> None:
    enrolment.invite("center-a")
    register.register(openssh(new_key()), "center-a")
    enrolment.revoke("center-a", register)
    assert register.nodes() == ()


def test_a_key_of_an_earlier_enrolment_that_came_back_with_an_old_database_is_turned_away(
    enrolment: Enrolment, register: Register
) -> None:
    key = enroll(enrolment, register, ["center-a"])["center-a"]
    enrolment.revoke("center-a", register)
    enroll(enrolment, register, ["center-a"])
    restored = Register()
    restored.register(openssh(key), "center-a")
    assert "is turned away" in enrolment.reconcile(restored)[0]
    assert [node.public_key for node in restored.nodes()] == [enrolment.registry.member("center-a").public_key]


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


def test_a_stranger_holds_up_no_center(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a"])
    fresh = Register()
    fresh.register(openssh(new_key()), "stranger")
    fresh.refusing = {"stranger"}
    with pytest.raises(LaunchError, match="for stranger: "):
        enrolment.reconcile(fresh)
    assert fresh.names == ["center-a", "stranger"]
