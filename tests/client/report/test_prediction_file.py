"""A stored prediction with a changed byte is named, whatever the library makes of it."""

import random
from pathlib import Path

import numpy as np
import pytest

from client.report.prediction_file import read_arrays
from protocol.errors import CaseError

ARRAYS = {"predicted": np.arange(27, dtype=np.uint8).reshape(3, 3, 3), "modalities": np.array("ct")}


def test_no_byte_can_change_unnoticed_or_end_the_program(tmp_path: Path) -> None:
    path, drawn = tmp_path / "case.npz", random.Random(0)
    np.savez_compressed(path, **ARRAYS)  # type: ignore[arg-type]
    content = path.read_bytes()
    noticed = 0
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << drawn.randrange(8)
        path.write_bytes(changed)
        try:
            found = read_arrays(path)
        except CaseError:
            noticed += 1
            continue
        assert all(found[name].tobytes() == array.tobytes() for name, array in ARRAYS.items() if name in found)
    assert noticed > len(content) // 2


def test_a_prediction_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"prediction .*gone\.npz cannot be read"):
        read_arrays(tmp_path / "gone.npz")
