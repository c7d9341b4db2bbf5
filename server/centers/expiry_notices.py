"""What ends soon or has ended, and the command that renews it: memberships, kits, certificates."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from server.centers.registry import Member, day_of, read_registry
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.tls.authority import read_certificate

NOTICE = timedelta(days=30)
KIT_NOTICE = timedelta(days=3)
"""Of a kit, which lasts 14 days: a fresh one is no alarm."""


def expiry_notices(directory: StudyDirectory, now: datetime) -> tuple[str, ...]:
    """One line for all that ends within 30 days of `now` (aware), of kits within 3, or has ended; empty for nothing.

    Raises:
        StudyError: this is no study's directory.
        EnrolmentError: the registry or a certificate cannot be read.
    """
    registry = read_registry(directory.enrolment, read_study(directory.study_file).name)
    lines = [line for center, member in registry.members.items() for line in _of_member(center, member, directory, now)]
    return (*lines, *_of_certificates(directory, now))


def _of_member(center: str, member: Member, directory: StudyDirectory, now: datetime) -> Iterator[str]:
    study = f"--study {directory.root}"
    if member.state == "invited" and _soon(member.kit_expires_at, now, KIT_NOTICE):
        ending = _ending("its kit", member.kit_expires_at, now)
        yield f"center '{center}': {ending}, and no answer was accepted; a new one: `concilium enroll {center} {study}`"
    if member.state in {"enrolled", "expired"} and member.member_until and _soon(member.member_until, now):
        ending = _ending("its membership", member.member_until, now)
        yield f"center '{center}': {ending}; extend it: `concilium enroll --renew {center} {study}`"
    if member.state == "enrolled" and member.spent:
        yield (
            f"center '{center}': its key was turned away when its membership ended, and Flower takes no key twice; let "
            f"it make another (`concilium-center renew-key`), then `concilium enroll --accept ANSWER {study}`"
        )


def _of_certificates(directory: StudyDirectory, now: datetime) -> Iterator[str]:
    end = _end_of(directory.server_certificate)
    if _soon(end, now):
        ending = _ending("the server's certificate", end, now)
        yield f"{ending}; renew it, no center notices: `concilium certificate --renew --study {directory.root}`"
    end = _end_of(directory.authority_certificate)
    if _soon(end, now):
        ending = _ending("the certificate authority", end, now)
        yield f"{ending}; a new one means a new directory and new kits: see docs/enrolment.md"


def _end_of(certificate: Path) -> datetime:
    return read_certificate(certificate).not_valid_after_utc


def _soon(end: datetime, now: datetime, notice: timedelta = NOTICE) -> bool:
    return end - now <= notice


def _ending(what: str, end: datetime, now: datetime) -> str:
    if end <= now:
        return f"{what} ended on {day_of(end)}"
    return f"{what} ends on {day_of(end)}, in {(end - now).days} day(s)"
