"""Every correction that was taken, in the private folder of the center: of what, when, by whom, and how it compares.

corrections.json    {"corrections": [...], "seal": SHA-256}; of earlier versions the list alone
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from client.corrections.comparison import Comparison
from protocol.errors import CaseError
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal_if_sealed

LEDGER = "corrections.json"


@dataclass(frozen=True)
class Entry:
    """One correction.

    taken: when, UTC. kind: "seg" or "rtstruct". sop_uid, series_uid, source: of the edited object. drawn, by: as it
    says of itself. prediction: study, adapter and program that made what was corrected. gtv_sha256: of the label as it
    was written. before: file of the label that it took the place of, in the private folder; empty where there was none.
    """

    case: str
    taken: str
    kind: str
    sop_uid: str
    series_uid: str
    source: str
    drawn: str
    by: str
    comparison: Comparison
    gtv_sha256: str
    before: str = ""
    prediction: dict[str, object] = field(default_factory=dict)


ADAPTER = TypeAdapter(tuple[Entry, ...])


def read_ledger(private: Path) -> tuple[Entry, ...]:
    """All corrections so far; none before the first.

    Raises:
        CaseError: the file is damaged.
    """
    path = private / LEDGER
    try:
        content = unseal_if_sealed(read_whole(path))
        return ADAPTER.validate_python(content if isinstance(content, list) else content["corrections"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CaseError(f"{path} cannot be read: {error}; restore it from a backup, or move it away") from error


def write_ledger(private: Path, entries: Sequence[Entry]) -> None:
    """Keep all corrections.

    Raises:
        StorageError: the disk refuses.
    """
    write_private(private / LEDGER, seal({"corrections": [asdict(entry) for entry in entries]}))
