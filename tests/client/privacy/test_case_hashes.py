"""Names become keyed hashes: found again however they are written, and unknown without the key."""

from pathlib import Path

import pytest

from client.data.block_file import RecordsError
from client.privacy.case_hashes import KEY, hash_names, provide_key, read_key


def test_a_name_is_found_again_however_it_is_written_and_under_this_key_only() -> None:
    one, other = b"1" * 32, b"2" * 32
    assert hash_names(one, ["Case 7"]) == hash_names(one, ["case  7"])
    assert hash_names(one, ["Case 7"]) != hash_names(other, ["Case 7"])
    assert hash_names(one, ["", "a"]) == hash_names(one, ["a"])


def test_a_key_is_drawn_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    assert read_key(tmp_path) is None
    key = provide_key(tmp_path)
    assert len(key) == 32
    assert provide_key(tmp_path) == read_key(tmp_path) == key
    assert (tmp_path / KEY).stat().st_mode & 0o777 == 0o600


def test_a_key_that_was_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / KEY).write_bytes(b"short")
    with pytest.raises(RecordsError, match="has 5 bytes, expected 32"):
        read_key(tmp_path)
