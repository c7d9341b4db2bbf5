"""A prepared case in the cache carries a checksum: a voxel that changed is noticed, and so is another case's file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from client.data.cache_file import DamagedCacheError, checksum, is_cached, read_cached, write_cached

ARRAYS: dict[str, NDArray[Any]] = {
    "ct": np.arange(8, dtype=np.float32).reshape(2, 2, 2),
    "gtv": np.ones((2, 2, 2), np.uint8),
}


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cache") / "key.safetensors"
    write_cached(path, ARRAYS)
    return path


def test_arrays_come_back_with_shape_and_kind(entry: Path) -> None:
    found = read_cached(entry)
    assert {key: (array.dtype, array.tolist()) for key, array in found.items()} == {
        key: (array.dtype, array.tolist()) for key, array in ARRAYS.items()
    }
    assert is_cached(entry)


@given(st.data())
def test_a_flipped_bit_is_noticed_or_changes_nothing(entry: Path, data: st.DataObject) -> None:
    """Of the header's blanks alone nothing depends."""
    content = bytearray(entry.read_bytes())
    place, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    content[place] ^= 1 << bit
    damaged = entry.parent / "damaged" / entry.name
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(content)
    try:
        found = read_cached(damaged)
    except DamagedCacheError:
        return
    assert {key: array.tobytes() for key, array in found.items()} == {
        key: array.tobytes() for key, array in ARRAYS.items()
    }


def test_a_file_under_another_name_and_one_of_the_first_format_are_no_entries(entry: Path, tmp_path: Path) -> None:
    (tmp_path / "other.safetensors").write_bytes(entry.read_bytes())
    with pytest.raises(DamagedCacheError, match="'name': 'key'"):
        read_cached(tmp_path / "other.safetensors")
    save_file(ARRAYS, tmp_path / "old.safetensors")
    assert not is_cached(tmp_path / "old.safetensors")
    with pytest.raises(DamagedCacheError, match="of an earlier format"):
        read_cached(tmp_path / "old.safetensors")


def test_the_checksum_follows_names_kinds_and_shapes() -> None:
    """The same eight bytes each time."""
    flat, zeros = np.zeros(2, np.float32), np.zeros((2, 1), np.float32)
    found = {checksum(arrays) for arrays in ({"a": flat}, {"b": flat}, {"a": zeros}, {"a": flat.view(np.int32)})}
    assert len(found) == 4
