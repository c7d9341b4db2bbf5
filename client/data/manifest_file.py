"""A manifest as JSON on the center's disk: written whole or not at all, read back equal."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from client.data.checks import Issue
from client.data.manifest import Case, Manifest
from client.data.volume import Grid
from protocol.errors import CaseError
from protocol.storage.atomic_files import write_text

VERSION = 1


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write the manifest and its digest.

    Raises:
        StorageError: the file cannot be written; a manifest that was there is untouched.
    """
    content = {"version": VERSION, "digest": manifest.digest, **asdict(manifest)}
    write_text(path, json.dumps(content, indent=1, default=str))


def read_manifest(path: Path) -> Manifest:
    """Read what `write_manifest` wrote.

    Raises:
        CaseError: the file is missing, is no manifest of this version, or was changed after it was written.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        manifest = Manifest(
            center=content["center"],
            cases=tuple(_case(row) for row in content["cases"]),
            issues=tuple(Issue(**row) for row in content["issues"]),
        )
        found = content["version"], content["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CaseError(f"manifest {path} cannot be read: {error!r}. Scan the center's folders again") from error
    if found != (VERSION, manifest.digest):
        raise CaseError(
            f"manifest {path} has version and digest {found}, expected {(VERSION, manifest.digest)}; "
            "scan the center's folders again"
        )
    return manifest


def _case(row: Mapping[str, Any]) -> Case:
    return Case(
        name=row["name"],
        patient=row["patient"],
        folder=row["folder"],
        paths={file: Path(path) for file, path in row["paths"].items()},
        grids={file: _grid(grid) for file, grid in row["grids"].items()},
        checksums=dict(row["checksums"]),
        issues=tuple(Issue(**issue) for issue in row["issues"]),
    )


def _grid(row: Mapping[str, Any]) -> Grid:
    depth, height, width = row["shape_zyx"]
    z_mm, y_mm, x_mm = row["spacing_zyx_mm"]
    x0_mm, y0_mm, z0_mm = row["origin_xyz_mm"]
    return Grid((depth, height, width), (z_mm, y_mm, x_mm), (x0_mm, y0_mm, z0_mm), tuple(row["direction"]))
