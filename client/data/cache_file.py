"""A prepared case in the cache: a safetensors file that carries its own checksum, so that no voxel changes unnoticed.

The checksum is CRC-32, which finds every damage of up to 32 bits in a row, at gigabytes a second: a cache is read in
every round. Against somebody who may write the file no checksum in it would help.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save

from protocol.storage.atomic_files import write_private

FORMAT = 2
"""Files of the first format carry no checksum; they are made anew."""
METADATA = "cache"


class DamagedCacheError(Exception):
    """A file of the cache that cannot be used; says why."""


def write_cached(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays of a case.

    Raises:
        StorageError: the disk refuses.
    """
    facts = {"format": FORMAT, "name": path.stem, "crc32": checksum(arrays)}
    write_private(path, save(dict(arrays), {METADATA: json.dumps(facts)}))


def read_cached(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that `write_cached` wrote to this very path.

    Raises:
        DamagedCacheError: the file is damaged, another's, or of another format.
        OSError: it cannot be read.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {}).get(METADATA, "{}"))
            arrays = {key: file.get_tensor(key) for key in sorted(file.keys())}
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DamagedCacheError(str(error)) from error
    expected = {"format": FORMAT, "name": path.stem, "crc32": checksum(arrays)}
    if facts != expected:
        raise DamagedCacheError("it is of an earlier format" if not facts else f"found {facts}, expected {expected}")
    return arrays


def is_cached(path: Path) -> bool:
    """Whether a file of this format is there, as its header says; its content is checked when it is read."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {}).get(METADATA, "{}"))
    except (safetensors.SafetensorError, OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("format") == FORMAT


def checksum(arrays: Mapping[str, NDArray[Any]]) -> int:
    """CRC-32 over names, kinds, shapes and values, in the order of the names."""
    found = 0
    for name in sorted(arrays):
        array = arrays[name]
        found = zlib.crc32(f"{name}|{array.dtype.str}|{array.shape}|".encode(), found)
        found = zlib.crc32(array.reshape(-1).view("u1").data, found)
    return found
