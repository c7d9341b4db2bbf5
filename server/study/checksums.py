"""What a study was prepared with stays what it was: SHA-256 of its files, in a sealed file beside them.

    checksums.json    {"files": {name: SHA-256}, "seal": SHA-256}

One bit of the initial state, of a tensor's group or of a digit in the study file would change every result.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from protocol.errors import StudyError
from protocol.storage.atomic_files import write_bytes
from protocol.storage.sealed_json import seal, unseal

logger = logging.getLogger(__name__)

CHECKSUMS = "checksums.json"


def write_checksums(root: Path, contents: Mapping[str, bytes]) -> None:
    """Keep the checksums of files of a study's directory: name -> content.

    Raises:
        StorageError: the disk refuses.
    """
    write_bytes(root / CHECKSUMS, checksums_bytes(contents))


def checksums_bytes(contents: Mapping[str, bytes]) -> bytes:
    """The file that keeps the checksums of these contents."""
    return seal({"files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}})


def expects(root: Path, name: str, content: bytes) -> bool:
    """Whether the checksums say that the file of this name has this content, whatever it has."""
    try:
        kept: str = unseal((root / CHECKSUMS).read_bytes())["files"][name]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return kept == hashlib.sha256(content).hexdigest()


def check_files(root: Path, names: Iterable[str]) -> None:
    """Refuse a study's directory with a file that is not as it was prepared; an earlier version kept no checksums.

    Args:
        root: the study's directory.
        names: files that a checksum must stand for.

    Raises:
        StudyError: names every file that was changed, or has no checksum.
        OSError: one is missing, or cannot be read.
    """
    if not (root / CHECKSUMS).exists():
        logger.warning("%s has no %s: that its files are as they were prepared is not checked", root, CHECKSUMS)
        return
    try:
        files = unseal((root / CHECKSUMS).read_bytes())["files"]
        findings = [*_findings(root, files), *(f"{name} has no checksum" for name in names if name not in files)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"{root / CHECKSUMS} is damaged ({error}); restore the study's directory from a copy, or prepare the study "
            "anew in another one"
        ) from error
    if findings:
        raise StudyError(
            f"{root} is not as it was prepared: {'; '.join(findings)}. Restore the file(s) from a copy. Where you "
            f"changed them yourself and mean it, remove {CHECKSUMS}: what is there then counts, unchecked"
        )


def _findings(root: Path, files: Mapping[str, str]) -> Iterator[str]:
    for name, expected in files.items():
        content = (root / name).read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            yield f"{name} has SHA-256 {found[:12]}, expected {expected[:12]}"
