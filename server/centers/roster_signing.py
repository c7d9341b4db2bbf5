"""The roster of a study's centers, signed with the authority's key: whom a center may share secrets with."""

from protocol.enrolment.roster import sign_roster
from protocol.errors import EnrolmentError
from protocol.messages.secure_sum import Roster
from server.centers.federation_init import open_own_authority
from server.centers.registry import read_registry
from server.study.coordinator_settings import read_coordinator
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.study.roster_file import write_roster
from server.tls.authority import AskPassphrase, refuse_encrypted, utc_now


def make_roster(directory: StudyDirectory, ask: AskPassphrase = refuse_encrypted) -> Roster:
    """Sign the keys of all centers that are enrolled now, and leave them where the run finds them.

    Args:
        directory: the coordinator's.
        ask: gives the passphrase of the authority's key, where it has one.

    Raises:
        StudyError: this is no coordinator's directory.
        EnrolmentError: nobody is enrolled, or the authority cannot be read.
        StorageError: the disk refuses.
    """
    study, coordinator = read_study(directory.study_file), read_coordinator(directory.coordinator)
    members = read_registry(directory.enrolment, study.name).members
    keys = {center: member.public_key for center, member in members.items() if member.accepted}
    if not keys:
        raise EnrolmentError(f"no center of study '{study.name}' is enrolled; a roster is signed when all of them are")
    authority = open_own_authority(directory, coordinator, ask).key
    roster = sign_roster(study.name, keys, authority, issued_s=int(utc_now().timestamp()))
    write_roster(directory.roster, roster)
    return roster


def roster_notice(directory: StudyDirectory) -> str:
    """What is left to do for sums when a center has gone; "" where there is no roster."""
    if not directory.roster.exists():
        return ""
    again = f"concilium roster --study {directory.root}"
    return f"its key still stands in {directory.roster}; sign the roster again: `{again}`"
