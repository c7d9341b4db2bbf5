"""What ends soon is listed with the command that renews it."""

from server.centers.enrolment import Enrolment
from server.centers.expiry_notices import expiry_notices
from server.study.directory import StudyDirectory
from server.tls.authority import read_certificate
from tests.support.enrolled_study import (
    Clock,
    Register,
    enroll,
)


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


def test_a_fresh_kit_is_no_alarm_and_one_that_nobody_used_is_three_days_before_its_end(
    enrolment: Enrolment, directory: StudyDirectory, clock: Clock
) -> None:
    enrolment.invite("center-d")
    assert expiry_notices(directory, clock()) == ()
    clock.pass_days(11)
    (kit,) = expiry_notices(directory, clock())
    assert "center 'center-d': its kit ends on" in kit


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
