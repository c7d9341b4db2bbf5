"""Every correction that was taken, in the private folder of the center: of what, when, by whom, and how it compares."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from client.corrections.comparison import Comparison
from protocol.errors import CaseError
from protocol.storage.atomic_files import write_private
from protocol.storage.parsed_text import parse_json

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
        return ADAPTER.validate_python(parse_json(path.read_bytes()))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise CaseError(f"{path} cannot be read: {error}; restore it from a backup, or move it away") from error


def write_ledger(private: Path, entries: Sequence[Entry]) -> None:
    """Keep all corrections.

    Raises:
        StorageError: the disk refuses.
    """
    write_private(private / LEDGER, json.dumps([asdict(entry) for entry in entries], indent=1).encode())
