"""`roster.json`: the centers' enrolled keys under the authority's signature, as the run passes them on."""

from pathlib import Path

from protocol.errors import PayloadError, StudyError
from protocol.messages.secure_sum import Roster
from protocol.messages.text import from_text, to_text
from protocol.storage.atomic_files import write_text
from protocol.storage.regular_files import read_whole


def write_roster(path: Path, roster: Roster) -> None:
    """Keep a roster; it holds no secret.

    Raises:
        StorageError: the disk refuses.
    """
    write_text(path, to_text(roster))


def read_roster(path: Path, study: str) -> Roster:
    """The roster of a study.

    Raises:
        StudyError: there is none, it cannot be read, or it is another study's.
    """
    sign = f"run `concilium roster --study {path.parent}` when every center is enrolled"
    try:
        roster = from_text(Roster, read_whole(path).decode())
    except FileNotFoundError:
        raise StudyError(
            f"study '{study}' sums in secret and has no roster {path} of its centers' keys; {sign}"
        ) from None
    except (OSError, ValueError, PayloadError) as error:
        raise StudyError(f"roster {path} cannot be used ({error}); {sign}") from error
    if roster.study != study:
        raise StudyError(f"roster {path} is of study '{roster.study}', expected '{study}'; {sign}")
    return roster
