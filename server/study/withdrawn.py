"""The centers that withdrew from a study, as its certificates say (`server.withdrawal.certificate` writes them)."""

from dataclasses import dataclass
from pathlib import Path

from protocol.errors import WithdrawalError
from protocol.storage.sealed_json import unseal
from server.study.directory import StudyDirectory


@dataclass(frozen=True)
class Withdrawn:
    """One center that withdrew.

    first_stage: the first that used an update or an observation of it, "" where none did. in_use: the shared adapter's
    version since, "" where none is without it. replay: where the later stages are trained again, "" where nowhere.
    """

    center: str
    first_stage: str
    in_use: str
    replay: str


def read_withdrawn(directory: StudyDirectory) -> tuple[Withdrawn, ...]:
    """Every center that withdrew, by name.

    Raises:
        WithdrawalError: a certificate is damaged.
    """
    return tuple(_read(path) for path in sorted(directory.withdrawals.glob("*.json")))


def refuse_withdrawn(directory: StudyDirectory) -> None:
    """Refuse to run a study whose state was taken back because a center of it withdrew.

    Raises:
        WithdrawalError: one did; names where the study goes on.
    """
    for found in read_withdrawn(directory):
        if found.first_stage:
            where = f"it goes on without it in {found.replay}" if found.replay else "it cannot go on"
            raise WithdrawalError(
                f"center '{found.center}' withdrew from the study in {directory.root}, whose stages from "
                f"'{found.first_stage}' on were taken back; {where}. See {directory.withdrawals}/{found.center}.html"
            )


def _read(path: Path) -> Withdrawn:
    try:
        told = unseal(path.read_bytes())["statement"]
        return Withdrawn(**{name: str(told[name]) for name in ("center", "first_stage", "in_use", "replay")})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WithdrawalError(f"certificate {path} is damaged ({error}); restore it from a copy") from error
