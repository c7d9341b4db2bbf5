"""Enrolment of centers: invitation, answer, renewal, end. The registry decides; Flower's register of nodes follows it.

    invite  -> invited    a kit with a one-time token leaves; the registry keeps the token's hash
    accept  -> enrolled   an answer proves the token, and its key is registered with the SuperLink
    revoke  -> revoked    for good: another enrolment needs another kit and another key
    expire  -> expired    a membership has ended; `renew` and a new key of the center bring it back

Whatever breaks off, `reconcile` makes the SuperLink's register what the registry says: keys of enrolled centers are let
in, those that have ended are turned away, also where they came back with an old database. A key that the registry
never had is told and left alone.
"""

import os
import pwd
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from protocol.enrolment.answer import read_answer
from protocol.enrolment.kit import Kit
from protocol.errors import EnrolmentError, LaunchError
from server.centers.kit_answers import member_after, member_of_kit
from server.centers.kit_signing import open_kit_signer
from server.centers.node_register import follow
from server.centers.registry import (
    SCHEMA_VERSION,
    CenterRegistry,
    Member,
    day_of,
    hold_registry,
    read_registry,
    standing,
    write_registry,
)
from server.centers.study_agreement import study_agreement
from server.centers.unagreed import stages_not_agreed
from server.study.audit_log import AuditLog, read_events
from server.study.coordinator_settings import CoordinatorSettings, read_coordinator
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.superlink.link import Link
from server.tls.authority import utc_now

KIT_DAYS, MEMBER_DAYS = 14, 365


def refuse_other_user(directory: StudyDirectory) -> None:
    """EnrolmentError where this process is not the user whose the study is.

    The registry has mode 0600 and is replaced as a whole: written by root, the watchdog could not read it any more. The
    study file's owner counts, since ROOT itself may be where a volume is mounted.
    """
    owner, caller = directory.study_file.stat().st_uid, os.geteuid()
    if owner != caller:
        raise EnrolmentError(
            f"{directory.root} belongs to user {_user(owner)}, and this command runs as {_user(caller)}: what it "
            "writes the study's programs could not read. Run it as that user, such as with "
            f"`runuser -u {_user(owner)} -- concilium ...`, or in its container"
        )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _refuse_enrolled(center: str, before: Member | None, now: datetime) -> None:
    if before is not None and before.state_at(now) == "enrolled":
        raise EnrolmentError(
            f"center '{center}' is enrolled with key {before.fingerprint} until {day_of(before.member_until)}; extend "
            f"that with `concilium enroll --renew {center}`, or end it with `concilium revoke {center}` before you "
            "invite another center under this name"
        )


def _is_registered(link: Link, center: str) -> bool:
    """Whether a SuperLink that answers has a key under this name."""
    try:
        return any(node.name == center for node in link.nodes())
    except LaunchError:
        return False


class Enrolment:
    """The centers of one coordinator's directory; `clock` gives the time, aware."""

    def __init__(self, directory: StudyDirectory, clock: Callable[[], datetime] = utc_now) -> None:
        self._directory, self._clock = directory, clock
        self._log = AuditLog(directory.audit)
        self._study = read_study(directory.study_file)

    @property
    def registry(self) -> CenterRegistry:
        """The registry as it is now."""
        return read_registry(self._directory.enrolment, self._study.name)

    def invite(
        self, center: str, *, days: int = KIT_DAYS, member_days: int = MEMBER_DAYS, out: Path | None = None
    ) -> Path:
        """Write a kit for a center, in place of one that is still out; that one's token ends.

        Args:
            center: its name in the study.
            days: how long the kit can be used, at most until the server's certificate, which signs it, ends.
            member_days: how long the membership lasts from its acceptance.
            out: the kit's file; in the study's directory where none is given.

        Raises:
            EnrolmentError: the study has no such center, or it is enrolled; or the server's key, which signs the kit,
                cannot be read.
            LaunchError: the server's certificate has expired.
        """
        if center not in self._study.centers:
            raise EnrolmentError(
                f"study '{self._study.name}' has no center '{center}'; it names {sorted(self._study.centers)}"
            )
        path = out or self._directory.kits / f"{center}.kit"
        coordinator = read_coordinator(self._directory.coordinator)
        with self._changing() as registry:
            now = self._clock()
            before = registry.members.get(center)
            if not stages_not_agreed(self._directory, self._study, registry.members).get(center):
                _refuse_enrolled(center, before, now)
            signer = open_kit_signer(self._directory, now)
            kit = self._kit(center, coordinator, now, min(now + timedelta(days=days), signer.valid_until))
            self._directory.kits.mkdir(exist_ok=True, mode=0o700)
            member = member_of_kit(kit, member_days, before)
            self._tell(center, member)
            write_registry(self._directory.enrolment, registry.having(center, member))
            signer.sign(path, kit)
        return path

    def accept(self, path: Path, link: Link) -> str:
        """Take a center's answer: register its key, or the key that replaces it; gives the center's name.

        Where the SuperLink cannot be asked, the center is in the registry all the same; `reconcile` registers it later.

        Raises:
            KitError: the answer cannot be read, is for another study, or its proof is wrong, used or too late.
            EnrolmentError: the center is not to be enrolled, its key is unfit or taken, or the SuperLink cannot be
                asked or refuses.
        """
        answer = read_answer(path)
        with self._changing() as registry:
            self._write(registry.having(answer.center, member_after(registry, answer, self._clock())))
            self._follow(
                link,
                answer.center,
                "is in the registry, but its key is not registered yet: accept the answer again when that is put "
                "right; `concilium launch` and the watchdog try it too",
            )
        return answer.center

    def renew(self, center: str, *, member_days: int | None = None) -> Member:
        """Extend a membership from today, as long as it was agreed or `member_days`; never shorten it. No new kit.

        A membership that has ended comes back, but its key does not: Flower takes no key twice.

        Raises:
            EnrolmentError: the center is not enrolled.
        """
        with self._changing() as registry:
            before = registry.member(center)
            if before.state not in {"enrolled", "expired"}:
                raise EnrolmentError(
                    f"center '{center}' is {before.state}, so there is no membership to extend; "
                    f"invite it with `concilium enroll {center}`"
                )
            days = member_days or before.member_days
            end = max(self._clock() + timedelta(days=days), before.member_until or self._clock())
            member = before.model_copy(update={"state": "enrolled", "member_days": days, "member_until": end})
            self._write(registry.having(center, member))
        return member

    def revoke(self, center: str, link: Link) -> None:
        """End a membership or an invitation at once: first in the registry, then at the SuperLink.

        A key that was never in the registry goes too where it stands under this name.

        Raises:
            EnrolmentError: neither registry nor SuperLink know the center; or it is revoked, but the SuperLink could
                not be told.
        """
        with self._changing() as registry:
            if center not in registry.members and _is_registered(link, center):
                follow(registry, link, center).raise_refused()
                return
            before = registry.member(center)
            self._write(
                registry.having(
                    center, before.model_copy(update={"state": "revoked", "token_verifier": "", "spent": True})
                )
            )
            if before.public_key or _is_registered(link, center):
                self._follow(
                    link,
                    center,
                    "is revoked in the registry, but a SuperLink that runs still lets its key in: start or repair it, "
                    "then revoke again; `concilium launch` and the watchdog finish it too",
                )

    def reconcile(self, link: Link) -> tuple[str, ...]:
        """End what has expired and make the SuperLink's register what the registry says; gives what was done, in words.

        Raises:
            LaunchError: the SuperLink cannot be asked, or refuses some of it: these centers are named, for all others
                it is done.
            EnrolmentError: another user than the owner of the directory asks.
        """
        with self._changing() as registry:
            ended = [name for name, member in registry.members.items() if member.just_expired(self._clock())]
            over = {
                name: registry.members[name].model_copy(update={"state": "expired", "spent": True}) for name in ended
            }
            current = registry.model_copy(
                update={"members": {**registry.members, **over}, "schema_version": SCHEMA_VERSION}
            )
            self._write(current)
            followed = follow(current, link)
            followed.done[:0] = [f"center '{center}': its membership has ended" for center in ended]
            self._write(followed.registry)
        followed.raise_refused()
        return tuple(followed.done)

    def _follow(self, link: Link, center: str, otherwise: str) -> None:
        try:
            followed = follow(self.registry, link, center)
            self._write(followed.registry)
            followed.raise_refused()
        except LaunchError as error:
            raise EnrolmentError(f"center '{center}' {otherwise}. {error}") from error

    def _kit(self, center: str, coordinator: CoordinatorSettings, now: datetime, expires_at: datetime) -> Kit:
        return Kit(
            consortium=coordinator.consortium,
            center=center,
            endpoint=coordinator.endpoint,
            serial=secrets.token_hex(16),
            token=secrets.token_urlsafe(32),
            issued_at=now,
            expires_at=expires_at,
            agreement=study_agreement(self._directory, coordinator, center),
        )

    @contextmanager
    def _changing(self) -> Iterator[CenterRegistry]:
        refuse_other_user(self._directory)
        with hold_registry(self._directory.enrolment):
            registry = self.registry
            if not any(event.event == "member" for event in read_events(self._directory.audit)):
                for center, member in registry.members.items():  # enrolled before the study had a log
                    self._tell(center, member)
            yield registry

    def _write(self, registry: CenterRegistry) -> None:
        before = self.registry
        if registry != before:
            for center, member in registry.members.items():
                if standing(member) != standing(before.members.get(center)):
                    self._tell(center, member)
            write_registry(self._directory.enrolment, registry)

    def _tell(self, center: str, member: Member) -> None:
        self._log.record("member", {"center": center, **standing(member)})
