"""What a Flower bundle and its run options must be for this center to act on them. Nothing of a bundle is unpacked.

A bundle is a zip. Ours names two apps and carries no code (`server/flower-app`): its hash is the one the center agreed
to when it joined, and beside it the list of its files is fixed, so that no accepted hash can bring a module in.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from protocol.enrolment.kit import BUNDLE_FILES
from protocol.errors import ConciliumError
from protocol.storage.atomic_files import write_private_text
from protocol.storage.parsed_text import parse_json


class BundleError(ConciliumError):
    """A Flower bundle that this center has not agreed to."""

    code = "bundle-refused"


class RunOptionError(ConciliumError):
    """A run option that this center does not let anybody set."""

    code = "run-option-refused"


def write_accepted(path: Path, hashes: Iterable[str]) -> None:
    """Keep which bundles may be used here, by SHA-256.

    Raises:
        StorageError: the disk refuses.
    """
    write_private_text(path, json.dumps({"accepted": sorted(set(hashes))}) + "\n")


def read_accepted(path: Path) -> frozenset[str]:
    """Which bundles may be used here; none where the file cannot be read."""
    try:
        return frozenset(map(str, parse_json(path.read_bytes())["accepted"]))
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def check_bundle(bundle: bytes, accepted: frozenset[str]) -> None:
    """Refuse a bundle of another hash, or with a file that is not on the list.

    Raises:
        BundleError: names the hash or the files.
    """
    found = hashlib.sha256(bundle).hexdigest()
    if found not in accepted:
        raise BundleError(
            f"bundle {found} is not among the {len(accepted)} this center accepted; nothing of it was used. Ask the "
            "coordinator for a kit of the version in use"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(f"bundle {found} is no zip archive ({error}); nothing of it was used") from error
    if len(names) != len(set(names)) or not set(names) <= BUNDLE_FILES:
        raise BundleError(
            f"bundle {found} carries {sorted(names)}, expected nothing but {sorted(BUNDLE_FILES)}; nothing of it "
            "was used. A bundle brings no code into this center"
        )


def check_run_options(names: Iterable[str], allowed: Sequence[str]) -> None:
    """Refuse run options that the study's agreement does not name.

    Raises:
        RunOptionError: names them.
    """
    refused = sorted(set(names) - set(allowed))
    if refused:
        raise RunOptionError(
            f"run options {refused} were set by the coordinator, this center allows {sorted(allowed)}; nothing was done"
        )
