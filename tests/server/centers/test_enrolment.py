"""Enrolment: invitation, acceptance, renewal, end, and what stands when the SuperLink is away."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from protocol.enrolment.kit import read_kit
from protocol.errors import ConciliumError, EnrolmentError
from server.centers.enrolment import Enrolment
from server.study.directory import StudyDirectory
from server.study.versions import keep_version
from server.tls.authority import read_certificate
from tests.support.enrolled_study import (
    Clock,
    Register,
    answer_to,
    enroll,
    new_key,
    openssh,
    renewal_answer,
)
from tests.support.study_text import stage_text


def test_an_accepted_answer_registers_the_centers_key_under_its_name(enrolment: Enrolment, register: Register) -> None:
    keys = enroll(enrolment, register, ["center-a"])
    member = enrolment.registry.member("center-a")
    assert [(node.name, node.public_key) for node in register.nodes()] == [("center-a", openssh(keys["center-a"]))]
    assert (member.state, member.node_id) == ("enrolled", "101")


def test_a_kit_lies_where_only_its_owner_can_look(enrolment: Enrolment, directory: StudyDirectory) -> None:
    kit = enrolment.invite("center-a")
    assert kit == directory.kits / "center-a.kit"
    assert [path.stat().st_mode & 0o777 for path in (kit, directory.kits)] == [0o600, 0o700]


def test_a_kit_goes_where_it_was_asked_for(enrolment: Enrolment, tmp_path: Path) -> None:
    assert enrolment.invite("center-a", out=tmp_path / "x.kit") == tmp_path / "x.kit"
    assert read_kit(tmp_path / "x.kit")[0].center == "center-a"


def test_a_center_that_the_study_does_not_name_is_not_invited(enrolment: Enrolment) -> None:
    with pytest.raises(EnrolmentError, match=r"has no center 'center-x'; it names \['center-a', 'center-d'\]"):
        enrolment.invite("center-x")


def test_a_center_that_is_enrolled_is_not_invited_again(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a"])
    with pytest.raises(EnrolmentError, match=r"is enrolled with key SHA256:.*--renew center-a.*concilium revoke"):
        enrolment.invite("center-a")


def test_with_the_authoritys_key_offline_centers_are_enrolled_and_enrolled_again(
    enrolment: Enrolment, register: Register, directory: StudyDirectory, tmp_path: Path
) -> None:
    directory.authority_key.rename(tmp_path / "offline.key")
    first = enroll(enrolment, register, ["center-a"])["center-a"]
    enrolment.revoke("center-a", register)
    second = enroll(enrolment, register, ["center-a"])["center-a"]
    assert openssh(first) != openssh(second)
    assert [node.public_key for node in register.nodes()] == [openssh(second)]


def test_a_kit_ends_no_later_than_the_certificate_that_signs_it(
    enrolment: Enrolment, directory: StudyDirectory, clock: Clock
) -> None:
    end = read_certificate(directory.server_certificate).not_valid_after_utc
    clock.now = end - timedelta(days=3)
    kit = enrolment.invite("center-a")
    assert read_kit(kit)[0].expires_at == enrolment.registry.member("center-a").kit_expires_at == end


def test_no_kit_without_the_servers_key_and_nobody_is_invited(enrolment: Enrolment, directory: StudyDirectory) -> None:
    directory.server_key.unlink()
    with pytest.raises(EnrolmentError, match=r"server.key cannot be read"):
        enrolment.invite("center-a")
    assert enrolment.registry.members == {}
    assert not (directory.kits / "center-a.kit").exists()


def test_a_revoked_center_is_turned_away_at_once(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a", "center-d"])
    enrolment.revoke("center-a", register)
    assert register.names == ["center-d"]
    assert enrolment.registry.member("center-a").state == "revoked"


def test_an_invitation_is_withdrawn_without_a_superlink(enrolment: Enrolment) -> None:
    enrolment.invite("center-a")
    enrolment.revoke("center-a", Register(down=True))
    assert enrolment.registry.member("center-a").state == "revoked"


def test_a_revocation_stands_while_the_superlink_is_down_and_is_finished_later(
    enrolment: Enrolment, register: Register
) -> None:
    enroll(enrolment, register, ["center-a"])
    register.down = True
    with pytest.raises(
        EnrolmentError, match="is revoked in the registry, but a SuperLink that runs still lets its key in"
    ):
        enrolment.revoke("center-a", register)
    assert enrolment.registry.member("center-a").state == "revoked"
    register.down = False
    assert enrolment.reconcile(register) == (
        f"center 'center-a': key {enrolment.registry.member('center-a').fingerprint} is turned away",
    )
    assert register.nodes() == ()


def test_an_answer_accepted_while_the_superlink_is_down_can_come_again(
    enrolment: Enrolment, register: Register
) -> None:
    answer = answer_to(enrolment.invite("center-a"), new_key())
    register.down = True
    with pytest.raises(EnrolmentError, match="is in the registry, but its key is not registered yet"):
        enrolment.accept(answer, register)
    register.down = False
    enrolment.accept(answer, register)
    assert register.names == ["center-a"]


def test_a_membership_is_extended_without_a_kit_or_a_word_to_the_superlink(
    enrolment: Enrolment, register: Register, clock: Clock
) -> None:
    enroll(enrolment, register, ["center-a"])
    serial = enrolment.registry.member("center-a").serial
    clock.pass_days(300)
    member = enrolment.renew("center-a")
    assert member.member_until is not None
    assert ((member.member_until - clock()).days, member.serial) == (365, serial)


def test_a_shorter_renewal_never_shortens_a_membership(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a"])
    before = enrolment.registry.member("center-a").member_until
    assert enrolment.renew("center-a", member_days=10).member_until == before


def test_a_membership_that_ends_is_turned_away(enrolment: Enrolment, register: Register, clock: Clock) -> None:
    enroll(enrolment, register, ["center-a"])
    clock.pass_days(365)
    assert enrolment.reconcile(register)[0] == "center 'center-a': its membership has ended"
    assert (register.names, enrolment.registry.member("center-a").state) == ([], "expired")


def test_an_ended_membership_comes_back_with_a_new_key_signed_by_the_old(
    enrolment: Enrolment, register: Register, clock: Clock, directory: StudyDirectory
) -> None:
    old = enroll(enrolment, register, ["center-a"])["center-a"]
    clock.pass_days(366)
    enrolment.reconcile(register)
    answer = renewal_answer(directory.kits / "center-a.kit", new_key(), old)
    with pytest.raises(EnrolmentError, match=r"its membership ended on .*--renew center-a"):
        enrolment.accept(answer, register)
    assert enrolment.renew("center-a").spent
    assert enrolment.reconcile(register) == ()
    enrolment.accept(answer, register)
    assert register.names == ["center-a"]


def test_renewing_in_time_keeps_the_key(enrolment: Enrolment, register: Register, clock: Clock) -> None:
    enroll(enrolment, register, ["center-a"])
    clock.pass_days(364)
    enrolment.renew("center-a")
    clock.pass_days(2)
    assert enrolment.reconcile(register) == ()
    assert register.names == ["center-a"]


def test_there_is_nothing_to_extend_for_a_revoked_center(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a"])
    enrolment.revoke("center-a", register)
    with pytest.raises(EnrolmentError, match="is revoked, so there is no membership to extend"):
        enrolment.renew("center-a")


def test_two_answers_at_once_enrol_one_machine(enrolment: Enrolment, register: Register) -> None:
    kit = enrolment.invite("center-a")
    answers = [answer_to(kit, new_key()).rename(kit.with_name(f"{i}.answer")) for i in range(6)]
    results: list[str] = []

    def accept(path: Path) -> None:
        try:
            results.append(enrolment.accept(path, register))
        except ConciliumError as error:
            results.append(error.code)

    threads = [threading.Thread(target=accept, args=(path,)) for path in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == ["center-a"] + ["enrolment"] * 5
    assert register.names == ["center-a"]


def test_another_user_than_the_directorys_owner_writes_no_registry(
    enrolment: Enrolment, directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = directory.study_file.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 54321)
    with pytest.raises(EnrolmentError, match=rf"runs as {owner + 54321}: .*`runuser -u \S+ -- concilium"):
        enrolment.invite("center-a")
    assert not directory.enrolment.exists()


def extend_by_center_a(directory: StudyDirectory) -> Enrolment:
    """A stage of center a is added; its enrolment as the next command finds it."""
    keep_version(directory)
    text = directory.study_file.read_text() + stage_text("again", ["center-a"])
    directory.study_file.write_text(text)
    return Enrolment(directory)


def test_a_center_agrees_to_what_was_added_with_a_new_kit_and_is_a_member_meanwhile(
    enrolment: Enrolment, register: Register, directory: StudyDirectory
) -> None:
    first = enroll(enrolment, register, ["center-a"])["center-a"]
    before = enrolment.registry.member("center-a")
    later, second = extend_by_center_a(directory), new_key()
    kit = later.invite("center-a")
    waiting = later.registry.member("center-a")
    assert (waiting.state, waiting.agreed_sha256) == ("enrolled", before.agreed_sha256)
    assert [node.public_key for node in register.nodes()] == [openssh(first)]
    later.accept(answer_to(kit, second), register)
    assert [node.public_key for node in register.nodes()] == [openssh(second)]
    agreed = later.registry.member("center-a")
    assert agreed.agreed_sha256 == read_kit(kit)[0].agreement.agreed_sha256 != before.agreed_sha256
    assert (agreed.offered_sha256, agreed.token_verifier) == ("", "")
    with pytest.raises(EnrolmentError, match="is enrolled with key"):
        later.invite("center-a")


def test_a_key_that_is_renewed_meanwhile_agrees_to_nothing(
    enrolment: Enrolment, register: Register, directory: StudyDirectory
) -> None:
    first = enroll(enrolment, register, ["center-a"])["center-a"]
    before = enrolment.registry.member("center-a").agreed_sha256
    later = extend_by_center_a(directory)
    kit = later.invite("center-a")
    later.accept(renewal_answer(kit, new_key(), first), register)
    assert later.registry.member("center-a").agreed_sha256 == before


def test_whom_the_addition_asks_for_nothing_gets_no_new_kit(
    enrolment: Enrolment, register: Register, directory: StudyDirectory
) -> None:
    enroll(enrolment, register, ["center-d"])
    with pytest.raises(EnrolmentError, match="is enrolled with key"):
        extend_by_center_a(directory).invite("center-d")
