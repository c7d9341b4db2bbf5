"""What joining writes into a center's home: the agreement of the kit without its token, key, answer and settings.

Everything here may be done again with the same kit: the key and what was accepted stay. A newer kit of the same center
and study replaces the agreement, and the center then makes another key.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from client.home.agreement import write_agreement
from client.home.backbone_store import BackboneStore
from client.home.center_home import (
    CenterHome,
    CenterSettings,
    HomeError,
    Membership,
    check_same_owner,
    membership_of,
    only_instance,
    read_membership,
    read_settings,
    write_settings,
)
from client.join.findings import Finding, failure, ok
from client.node.bundle_guard import read_accepted, write_accepted
from client.node.node_files import provide_node_files
from client.node.node_key import first_answer, provide_node_key
from protocol.enrolment.answer import write_answer
from protocol.enrolment.kit import Kit, authority_fingerprint, read_kit
from protocol.errors import ConciliumError, KitError, ModelError
from protocol.messages.tensors import content_hash
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import open_regular
from protocol.storage.sealed_json import seal

ASK_AGAIN = "ask the coordinator for a new kit (`concilium enroll CENTER`)"
LOOK_AGAIN = "check the path, and that this user may read the file"


def judge_kit(path: Path | None, home: CenterHome, now: datetime) -> tuple[Finding, Kit | None, bytes | None]:
    """Whether there is a kit to join with, and the kit; a home that was joined with one needs none."""
    if path is None:
        if home.agreement.exists():
            return ok("none needed, this home has joined"), None, None
        return (
            failure("no kit was given and this home has not joined", "give the kit that the coordinator sent"),
            None,
            None,
        )
    try:
        open_regular(path).close()
    except OSError as error:
        return failure(f"kit {path} cannot be read ({error.strerror})", LOOK_AGAIN), None, None
    try:
        kit, authority = read_kit(path)
    except KitError as error:
        return failure(str(error).rpartition(";")[0] or str(error), ASK_AGAIN), None, None
    if kit.is_expired(now) and not _was_accepted(home, kit):
        text = f"the kit of center '{kit.center}' expired on {kit.expires_at:%Y-%m-%d %H:%M} UTC"
        return failure(text, ASK_AGAIN), None, None
    text = f"center '{kit.center}', study '{kit.agreement.study}', until {kit.expires_at:%Y-%m-%d}"
    return ok(f"{text}; authority's SHA-256 {authority_fingerprint(authority)}"), kit, authority


def prepare(home: CenterHome, kit: Kit, authority_pem: bytes) -> None:
    """Make the key and the answer, and keep what was agreed; the token is used for the proof and not kept.

    Raises:
        HomeError: the home is another center's or study's, or its key is damaged.
        StorageError: the disk refuses.
    """
    membership = membership_of(kit)
    check_same_owner(home, membership)
    home.make_folders()
    accepted = _was_accepted(home, kit)
    joined_before = home.agreement.exists() and read_membership(home).serial == kit.serial
    if home.agreement.exists() and not joined_before:
        _retire_key(home)
    key = provide_node_key(home.key)
    write_private(home.authority, authority_pem)
    write_agreement(home.trainer_agreement, kit.center, kit.agreement, authority_pem.decode())
    kept = read_accepted(home.bundles) if joined_before else frozenset()
    write_accepted(home.bundles, kept | {kit.agreement.bundle_sha256})
    if not accepted:
        answer = first_answer(center=kit.center, study=kit.agreement.study, serial=kit.serial, token=kit.token, key=key)
        write_answer(home.answer(kit.center), answer)
    write_private(home.agreement, seal(membership.model_dump(mode="json")))
    provide_node_files(home)


def provide_backbone(home: CenterHome, membership: Membership, path: Path) -> None:
    """Put a backbone that came as a file where the trainer looks for it.

    Raises:
        ModelError: the study sends none as a file, or this is another one, or it cannot be read.
    """
    expected = membership.agreement.backbone_sha256
    if not expected:
        raise ModelError(f"study '{membership.agreement.study}' has no backbone as a file; leave out --backbone")
    try:
        open_regular(path).close()
        tensors = load_file(path)
    except Exception as error:
        raise ModelError(f"backbone {path} cannot be read ({error}); copy it from the coordinator again") from error
    found = content_hash(tensors)
    if found != expected:
        raise ModelError(
            f"backbone {path} has content hash {found}, the study's has {expected}; ask the coordinator for the file "
            f"{expected[:12]}….safetensors"
        )
    BackboneStore(home.trainer / "backbones").bring(tensors, expected)


def merge_settings(home: CenterHome, *, data: Path | None = None, **given: Any) -> CenterSettings | None:
    """The center's settings: what was given now over what was kept; None where no data folder was ever given.

    Args:
        home: the center's.
        data: its data folder.
        given: other `CenterSettings`; None and empty leave one as it was kept, or the default.

    Raises:
        HomeError: the settings that were kept are damaged.
    """
    kept = read_settings(home).model_dump() if home.settings.exists() else {}
    folders = {"data": (data.absolute(),)} if data else {}
    merged = kept | folders | {name: value for name, value in given.items() if value not in {None, ()}}
    return CenterSettings.model_validate(merged) if merged.get("data") else None


def keep_settings(home: CenterHome, settings: CenterSettings) -> None:
    """Write the settings where they differ from what was kept."""
    if not home.settings.exists() or read_settings(home) != settings:
        write_settings(home, settings)


def find_membership(home: CenterHome, kit: Kit | None) -> Membership | None:
    """The membership of the kit that was given, or the one that was kept; None where there is none.

    Raises:
        HomeError: the kept one is damaged, or the kit is for another center or study.
    """
    if kit is None:
        return read_membership(home) if home.agreement.exists() else None
    check_same_owner(home, membership_of(kit))
    return membership_of(kit)


@contextmanager
def hold_home(home: CenterHome, *, made: bool) -> Iterator[str]:
    """Hold the home for this process and give "", or the reason why it cannot be had; one not `made` is not held."""
    with ExitStack() as holding:
        reason = ""
        try:
            if made:
                holding.enter_context(only_instance(home))
        except HomeError as error:
            reason = str(error)
        yield reason


def _retire_key(home: CenterHome) -> None:
    """Make room for the key of another kit: a coordinator takes none again that it has turned away."""
    if home.key.exists():
        home.key.replace(home.former_key)
    home.next_key.unlink(missing_ok=True)
    home.node_id.unlink(missing_ok=True)


def _was_accepted(home: CenterHome, kit: Kit) -> bool:
    """Whether this very kit was used and its answer accepted."""
    if not home.agreement.exists() or not home.node_id.exists():
        return False
    try:
        return read_membership(home).serial == kit.serial
    except ConciliumError:
        return False
