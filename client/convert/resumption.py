"""What earlier runs converted, so that the next one touches only what changed.

A case's fingerprint is the SHA-256 of the path, size and time of change (ns) of each of its files, of the user's
choices, and of the layout and version of what reads them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from client.convert.case_conversion import PROGRAM, Done
from client.convert.contract import Choices, FoundCase
from client.data.conversion import Layout
from protocol.errors import CaseError
from protocol.storage.atomic_files import write_private
from protocol.storage.parsed_text import parse_json
from protocol.storage.regular_files import read_whole

ALGORITHM = 1
"""Raised when the program makes other values of the same files."""
ADAPTER = TypeAdapter(dict[str, Done])


def fingerprint_of(found: FoundCase, choices: Choices, layout: Layout) -> str:
    """What a case is made of, in one number; a file that cannot be looked at counts as one of no size."""
    facts = {
        "algorithm": ALGORITHM,
        "program": PROGRAM,
        "layout": layout,
        "choices": asdict(choices),
        "files": sorted(_look_at(path) for path in found.files),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_done(path: Path) -> dict[str, Done]:
    """Case id -> what was made of it; empty before the first run.

    Raises:
        CaseError: the file is damaged.
    """
    try:
        return ADAPTER.validate_python(parse_json(read_whole(path)))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CaseError(f"{path} cannot be read: {error}; remove it, and every case is converted again") from error


def write_done(path: Path, done: Mapping[str, Done]) -> None:
    """Keep what was made, for the next run."""
    content = {case: asdict(made) for case, made in sorted(done.items())}
    write_private(path, json.dumps(content, indent=1).encode())


def _look_at(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), -1, -1
    return str(path), found.st_size, found.st_mtime_ns
