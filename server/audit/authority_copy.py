"""Signing a study's log with its authority, and the copy of what was signed beside the authority's key."""

from collections.abc import Sequence
from pathlib import Path

from protocol.errors import ConciliumError
from server.audit.signed_head import SignedHead, copy_path, read_signed_head, sign_head, write_signed_head
from server.centers.federation_init import authority_folder, open_own_authority
from server.study.audit_log import AuditLog, read_events
from server.study.coordinator_settings import read_coordinator
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.tls.authority import AskPassphrase, Authority, refuse_encrypted, utc_now


def sign_with_authority(directory: StudyDirectory, ask: AskPassphrase = refuse_encrypted) -> tuple[SignedHead, Path]:
    """Sign the log as far as it goes; gives what was signed, and its copy in the authority's folder.

    Args:
        directory: the coordinator's.
        ask: gives the passphrase of the authority's key, where it has one.

    Raises:
        StudyError: this is no coordinator's directory.
        EnrolmentError: the authority's key is not here, cannot be read, or is another's.
        AuditError: the log is empty, or does not stand as it was written.
        StorageError: the disk refuses.
    """
    authority = open_own_authority(directory, read_coordinator(directory.coordinator), ask)
    return sign_and_copy(directory, authority)


def sign_and_copy(directory: StudyDirectory, authority: Authority) -> tuple[SignedHead, Path]:
    """`sign_with_authority` with an authority that is open already.

    Raises:
        StudyError: this is no coordinator's directory.
        AuditError: the log is empty, or does not stand as it was written.
        StorageError: the disk refuses.
    """
    study = read_study(directory.study_file).name
    signed = sign_head(AuditLog(directory.audit), study, authority, now=utc_now())
    copy = copy_path(authority_folder(directory, read_coordinator(directory.coordinator)), directory.audit)
    write_signed_head(copy, signed)
    return signed, copy


def kept_heads(directory: StudyDirectory, files: Sequence[Path]) -> list[SignedHead]:
    """The signed heads of some files, and the one beside the authority's key where that is within reach.

    Raises:
        AuditError: one of the files cannot be read.
    """
    return [read_signed_head(path) for path in (*files, *_copy_within_reach(directory))]


def _copy_within_reach(directory: StudyDirectory) -> Sequence[Path]:
    try:
        folder = authority_folder(directory, read_coordinator(directory.coordinator))
        copies = sorted(folder.glob("audit-*.json"))
    except (ConciliumError, OSError):
        return ()
    named = copy_path(folder, directory.audit).name if read_events(directory.audit) else ""
    return [path for path in copies if path.name == named]
