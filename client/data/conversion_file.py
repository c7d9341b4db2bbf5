"""The record of a conversion on the disk, `conversion.json` beside a case's images: written whole, read strictly."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from client.data.conversion import RECORD, Conversion
from protocol.errors import CaseError
from protocol.storage.atomic_files import write_case_file
from protocol.storage.parsed_text import LARGEST_TEXT_BYTES
from protocol.storage.regular_files import read_regular
from protocol.storage.sealed_json import seal, unseal_if_sealed

VERSION = 2
EARLIER = 1
"""The version without a seal."""
ADAPTER = TypeAdapter(Conversion)


def write_conversion(conversion: Conversion, folder: Path) -> None:
    """Write the record into the case's folder; what names a source never enters it.

    Raises:
        StorageError: the file cannot be written; a record that was there is untouched.
    """
    issues = tuple(replace(issue, source="") for issue in conversion.issues)
    content = {"version": VERSION, **asdict(replace(conversion, issues=issues))}
    write_case_file(folder / RECORD, seal(content))


def read_conversion(folder: Path) -> Conversion | None:
    """Read what `write_conversion` wrote; None where the case has no record.

    Raises:
        CaseError: the record cannot be read, is not of this version, or says what no record says.
    """
    path = folder / RECORD
    try:
        content = unseal_if_sealed(read_regular(path, LARGEST_TEXT_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CaseError(f"record {path} cannot be read: {error}. Convert the case again") from error
    return _parse(content, path)


def _parse(content: object, path: Path) -> Conversion:
    if not isinstance(content, dict) or content.pop("version", None) not in {EARLIER, VERSION}:
        raise CaseError(f"record {path} is none of version {VERSION}; convert the case again with this program")
    try:
        return ADAPTER.validate_json(json.dumps(content), strict=True, extra="forbid")
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors())
        raise CaseError(f"record {path} says what cannot be: {found}. Convert the case again") from error
