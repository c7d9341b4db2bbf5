"""The registry of a study's centers, `enrolment.json`: who was invited, who is enrolled with which key, until when.

It holds no token and no private key, but of a kit that is still out the token's hash, with which an answer could be
forged: the file has mode 0600, and the hash goes when the kit is used. Who changes the registry holds its lock.

Flower takes no key twice: a center that is turned away by mistake never comes back with the key it has. So the registry
is sealed, and one that does not stand as it was written is an error, never a list of centers.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, ValidationError

from protocol.enrolment.public_keys import fingerprint
from protocol.errors import EnrolmentError
from protocol.messages.base import Settings
from protocol.messages.settings import findings
from protocol.names import CenterName
from protocol.storage.atomic_files import write_private
from protocol.storage.locks import hold_lock
from protocol.storage.parsed_text import parse_json
from protocol.storage.sealed_json import SEAL, seal, unseal

State = Literal["invited", "enrolled", "revoked", "expired"]
WAIT_S = 30.0
SCHEMA_VERSION: Literal[2] = 2
UNSEALED_VERSION = 1


class Member(Settings):
    """One center in the registry.

    serial, token_verifier, kit_expires_at: of its last kit; the verifier is empty once that was used or withdrawn.
    member_days: how long a membership lasts from its acceptance or renewal; member_until: when it ends.
    public_key: OpenSSH line of the key it registered with. spent: the key was turned away, and Flower takes no key
    twice. node_id: Flower's; empty until the SuperLink has it. past_fingerprints: of its earlier keys.
    agreed_sha256, bundle_sha256: what its last kit made it agree to; empty in older registries. settings_sha256: of
    the settings alone, to which kits of earlier versions bound a center. offered_sha256, offered_bundle_sha256: what
    a kit asks an enrolled center to agree to, while that kit is out.
    """

    state: State
    serial: str = ""
    token_verifier: str = ""
    kit_expires_at: AwareDatetime
    member_days: int
    member_until: AwareDatetime | None = None
    public_key: str = ""
    fingerprint: str = ""
    spent: bool = False
    node_id: str = ""
    past_fingerprints: tuple[str, ...] = ()
    settings_sha256: str = ""
    agreed_sha256: str = ""
    bundle_sha256: str = ""
    offered_sha256: str = ""
    offered_bundle_sha256: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the SuperLink is to let this center's key in."""
        return self.state == "enrolled" and not self.spent

    @property
    def all_fingerprints(self) -> tuple[str, ...]:
        """The keys that a center has had, its present one included."""
        return tuple(dict.fromkeys(found for found in (*self.past_fingerprints, self.fingerprint) if found))

    def state_at(self, now: datetime) -> State:
        """The state with the time considered: a membership that has ended is expired."""
        over = self.member_until is not None and now >= self.member_until
        return "expired" if self.state == "enrolled" and over else self.state

    def just_expired(self, now: datetime) -> bool:
        """Whether the membership has ended and the registry does not say so yet."""
        return self.state == "enrolled" and self.state_at(now) == "expired"


class CenterRegistry(Settings):
    """All centers of one study; version 1 had no seal."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    study: str
    members: dict[CenterName, Member] = {}

    def member(self, center: str) -> Member:
        """The entry of a center.

        Raises:
            EnrolmentError: the center was never invited.
        """
        if center not in self.members:
            raise EnrolmentError(
                f"center '{center}' was never invited to study '{self.study}'; in the registry: "
                f"{sorted(self.members) or 'nobody'}. Invite it with `concilium enroll {center}`"
            )
        return self.members[center]

    def having(self, center: str, member: Member) -> "CenterRegistry":
        """The registry with another entry for one center."""
        return self.model_copy(update={"members": dict(sorted({**self.members, center: member}.items()))})

    def find_turned_away(self, now: datetime) -> dict[str, str]:
        """The centers that took part and are not let in any more, each with "revoked" or "expired".

        A membership that was extended after its end is still expired: the center's new key is to come.
        """
        found = {center: member.state_at(now) for center, member in self.members.items()}
        return {
            center: "revoked" if state == "revoked" else "expired"
            for center, state in found.items()
            if state in {"revoked", "expired"} or (state == "enrolled" and self.members[center].spent)
        }

    def owner_of(self, fingerprint: str) -> str | None:
        """The center that has, or once had, the key with this fingerprint."""
        for center, member in self.members.items():
            if fingerprint in member.all_fingerprints:
                return center
        return None


def read_registry(path: Path, study: str) -> CenterRegistry:
    """The registry of a study; an empty one where there is no file yet.

    Raises:
        EnrolmentError: the file is damaged, a link to nothing, or belongs to another study.
    """
    try:
        registry = CenterRegistry.model_validate_json(json.dumps(_content_of(path.read_bytes())))
        _check_fingerprints(registry)
    except FileNotFoundError as error:
        if not path.is_symlink():
            return CenterRegistry(study=study)
        raise EnrolmentError(f"{path} is a link to {path.readlink()}, which is gone; restore that") from error
    except OSError as error:
        raise EnrolmentError(f"{path} cannot be read ({error.strerror}); correct its owner and mode") from error
    except ValidationError as error:
        found = "\n  ".join(findings(error))
        raise EnrolmentError(f"{path} is damaged; restore it from a backup:\n  {found}") from error
    except ValueError as error:
        raise EnrolmentError(f"{path} is damaged; restore it from a backup: {error}") from error
    if registry.study != study:
        raise EnrolmentError(
            f"{path} is the registry of study '{registry.study}', expected '{study}'; restore the right one"
        )
    return registry


def _content_of(data: bytes) -> Any:
    """What was written: unsealed, but for a registry of an earlier version, which had no seal."""
    there = parse_json(data)
    if isinstance(there, dict) and SEAL not in there and there.get("schema_version") == UNSEALED_VERSION:
        return there
    return unseal(data)


def _check_fingerprints(registry: CenterRegistry) -> None:
    """ValueError where a key is not the one whose fingerprint stands beside it."""
    for center, member in registry.members.items():
        if member.public_key and fingerprint(member.public_key) != member.fingerprint:
            raise ValueError(f"the key of center '{center}' is not {member.fingerprint}")


def write_registry(path: Path, registry: CenterRegistry) -> None:
    """Replace the registry, sealed; only its owner can read it.

    Raises:
        StorageError: the disk refuses; the earlier registry stands.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    sealed = registry.model_copy(update={"schema_version": SCHEMA_VERSION})
    write_private(path, seal(sealed.model_dump(mode="json")))


@contextmanager
def hold_registry(path: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the lock of the registry at `path`; it goes with the process that holds it.

    Raises:
        EnrolmentError: another command holds it for longer than `wait_s`.
    """
    lock = path.with_suffix(".lock")
    lock.parent.mkdir(mode=0o700, exist_ok=True)
    busy = EnrolmentError(
        f"another command works on the registry beside {lock} and has not finished; try again when it has"
    )
    with hold_lock(lock, wait_s=wait_s, otherwise=lambda _held: busy):
        yield


def standing(member: Member | None) -> dict[str, str]:
    """What an audit log keeps of a center: its state, its key, until when; nothing of one that is not there."""
    if member is None:
        return {}
    until = "" if member.member_until is None else member.member_until.isoformat()
    return {"state": member.state, "fingerprint": member.fingerprint, "member_until": until}


def day_of(when: datetime | None) -> str:
    """A moment as messages say it."""
    return "an unknown day" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"
