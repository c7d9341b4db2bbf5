"""A manifest as JSON on the center's disk, for its owner alone: written whole or not at all, read back equal."""

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from client.data.manifest import Manifest
from protocol.errors import BankError, CaseError
from protocol.storage.atomic_files import write_private
from protocol.storage.sealed_json import read_sealed, seal

VERSION = 4


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write the manifest, its digest and a seal over all of it, since no path enters the digest.

    A number of a damaged header that is not finite is written as a text.

    Raises:
        StorageError: the file cannot be written; a manifest that was there is untouched.
    """
    content = json.dumps({"version": VERSION, "digest": manifest.digest, **asdict(manifest)}, default=str)
    write_private(path, seal(json.loads(content, parse_constant=str)))


def read_manifest(path: Path) -> Manifest:
    """Read what `write_manifest` wrote.

    Raises:
        CaseError: the file is missing, is no manifest of this version, or was changed after it was written.
    """
    try:
        content = read_sealed(path)
        manifest = TypeAdapter(Manifest).validate_python(content)
        found = content["version"], content["digest"]
    except (BankError, ValueError, KeyError, TypeError) as error:
        raise CaseError(f"manifest {path} cannot be read: {error!r}. Scan the center's folders again") from error
    if found != (VERSION, manifest.digest):
        raise CaseError(
            f"manifest {path} has version and digest {found}, expected {(VERSION, manifest.digest)}; "
            "scan the center's folders again"
        )
    return manifest
