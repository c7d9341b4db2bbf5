"""Enrolment: who gets in, who does not, and that Flower's register follows the registry whatever breaks off."""

import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.enrolment.kit import read_kit
from protocol.errors import ConciliumError, EnrolmentError, KitError, LaunchError
from server.centers.enrolment import Enrolment
from server.centers.expiry_notices import expiry_notices
from server.centers.registry import hold_registry
from server.study.directory import StudyDirectory
from server.tls.authority import read_certificate
from tests.support.enrolled_study import (
    Clock,
    Register,
    answer_to,
    enroll,
    new_key,
    openssh,
    renewal_answer,
    write_coordinator_directory,
)


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return write_coordinator_directory(tmp_path / "root")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def enrolment(directory: StudyDirectory, clock: Clock) -> Enrolment:
    return Enrolment(directory, clock)


@pytest.fixture
def register() -> Register:
    return Register()


def test_an_accepted_answer_registers_the_centers_key_under_its_name(enrolment: Enrolment, register: Register) -> None:
    keys = enroll(enrolment, register, ["center-a"])
    member = enrolment.registry.member("center-a")
    assert [(node.name, node.public_key) for node in register.nodes()] == [("center-a", openssh(keys["center-a"]))]
    assert (member.state, member.node_id) == ("enrolled", "101")


def test_the_registry_keeps_no_token_and_only_its_owner_can_read_it(
    enrolment: Enrolment, directory: StudyDirectory
) -> None:
    kit, _ = read_kit(enrolment.invite("center-a"))
    assert kit.token not in directory.enrolment.read_text()
    assert directory.enrolment.stat().st_mode & 0o777 == 0o600


def test_the_tokens_hash_goes_when_the_kit_is_used(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a"])
    assert enrolment.registry.member("center-a").token_verifier == ""


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


def test_no_kit_without_the_authoritys_key_and_nobody_is_invited(
    enrolment: Enrolment, directory: StudyDirectory
) -> None:
    directory.authority_key.unlink()
    with pytest.raises(EnrolmentError, match=r"ca.key cannot be read"):
        enrolment.invite("center-a")
    assert enrolment.registry.members == {}
    assert not (directory.kits / "center-a.kit").exists()


def test_an_expired_kit_is_refused(enrolment: Enrolment, register: Register, clock: Clock) -> None:
    answer = answer_to(enrolment.invite("center-a", days=3), new_key())
    clock.pass_days(3)
    with pytest.raises(KitError, match=r"kit of center 'center-a' expired on .*send a new kit"):
        enrolment.accept(answer, register)


def test_a_key_that_flower_does_not_take_is_refused(enrolment: Enrolment, register: Register) -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    answer = answer_to(enrolment.invite("center-a"), new_key(), public_key=other)
    with pytest.raises(EnrolmentError, match="of kind 'ssh-ed25519', expected an elliptic-curve key on a NIST curve"):
        enrolment.accept(answer, register)


def test_a_key_of_another_center_is_refused(enrolment: Enrolment, register: Register) -> None:
    key = enroll(enrolment, register, ["center-a"])["center-a"]
    with pytest.raises(EnrolmentError, match="which center 'center-a' has or had"):
        enrolment.accept(answer_to(enrolment.invite("center-d"), key), register)


def test_a_revoked_center_is_turned_away_at_once(enrolment: Enrolment, register: Register) -> None:
    enroll(enrolment, register, ["center-a", "center-d"])
    enrolment.revoke("center-a", register)
    assert register.names == ["center-d"]
    assert enrolment.registry.member("center-a").state == "revoked"


def test_an_answer_to_a_kit_of_a_revoked_center_is_refused(enrolment: Enrolment, register: Register) -> None:
    answer = answer_to(enrolment.invite("center-a"), new_key())
    enrolment.revoke("center-a", register)
    with pytest.raises(EnrolmentError, match="'center-a' is revoked since it was sent this kit"):
        enrolment.accept(answer, register)


def test_an_invitation_is_withdrawn_without_a_superlink(enrolment: Enrolment) -> None:
    enrolment.invite("center-a")
    enrolment.revoke("center-a", Register(down=True))
    assert enrolment.registry.member("center-a").state == "revoked"


def test_a_revoked_center_comes_back_with_another_key_alone(enrolment: Enrolment, register: Register) -> None:
    key = enroll(enrolment, register, ["center-a"])["center-a"]
    enrolment.revoke("center-a", register)
    kit = enrolment.invite("center-a")
    with pytest.raises(EnrolmentError, match="none is used again"):
        enrolment.accept(answer_to(kit, key), register)
    assert enrolment.accept(answer_to(kit, new_key()), register) == "center-a"


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


def test_another_user_than_the_directorys_owner_writes_no_registry(
    enrolment: Enrolment, directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = directory.study_file.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 54321)
    with pytest.raises(EnrolmentError, match=rf"runs as {owner + 54321}: .*`runuser -u \S+ -- concilium"):
        enrolment.invite("center-a")
    assert not directory.enrolment.exists()


def test_the_registry_keeps_what_a_center_agreed_to(enrolment: Enrolment, register: Register) -> None:
    kit_file = enrolment.invite("center-a")
    agreement = read_kit(kit_file)[0].agreement
    enrolment.accept(answer_to(kit_file, new_key()), register)
    member = enrolment.registry.member("center-a")
    assert (member.settings_sha256, member.bundle_sha256) == (agreement.settings_sha256, agreement.bundle_sha256)
    assert len(member.settings_sha256) == len(member.bundle_sha256) == 64


def test_what_ends_within_thirty_days_is_listed_with_its_remedy(
    enrolment: Enrolment, register: Register, directory: StudyDirectory, clock: Clock
) -> None:
    enroll(enrolment, register, ["center-a"])
    enrolment.invite("center-d")
    clock.pass_days(340)
    membership, kit = expiry_notices(directory, clock())
    assert kit.startswith("center 'center-d': its kit ended on ")
    assert f"`concilium enroll center-d --study {directory.root}`" in kit
    assert "its membership ends on" in membership
    assert f"in 25 day(s); extend it: `concilium enroll --renew center-a --study {directory.root}`" in membership


def test_nothing_is_listed_while_everything_lasts(
    enrolment: Enrolment, register: Register, directory: StudyDirectory, clock: Clock
) -> None:
    enroll(enrolment, register, ["center-a"])
    assert expiry_notices(directory, clock()) == ()


def test_the_servers_certificate_is_listed_in_time(directory: StudyDirectory, clock: Clock) -> None:
    end = read_certificate(directory.server_certificate).not_valid_after_utc
    clock.pass_days((end - clock()).days - 29)
    assert [line[:28] for line in expiry_notices(directory, clock())] == ["the server's certificate end"]


def test_a_center_whose_key_is_spent_is_listed(
    enrolment: Enrolment, register: Register, directory: StudyDirectory, clock: Clock
) -> None:
    enroll(enrolment, register, ["center-a"])
    clock.pass_days(366)
    enrolment.reconcile(register)
    enrolment.renew("center-a")
    assert "renew-key" in expiry_notices(directory, clock())[0]
