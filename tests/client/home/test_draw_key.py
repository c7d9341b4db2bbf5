"""The key of a center's draws: its own, kept, and public only where the center asks for that."""

from pathlib import Path

import pytest

from client.home.draw_key import PUBLIC, provide_draw_key
from protocol.errors import StorageError


def test_a_key_is_drawn_once_kept_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    first, other = provide_draw_key(tmp_path / "a"), provide_draw_key(tmp_path / "b")
    assert (len(first), first == other) == (32, False)
    assert provide_draw_key(tmp_path / "a") == first
    assert (tmp_path / "a" / "draws.key").stat().st_mode & 0o777 == 0o600


def test_a_center_may_draw_as_everybody_can(tmp_path: Path) -> None:
    (tmp_path / "draws.key").write_text("public\n")
    assert provide_draw_key(tmp_path) == PUBLIC


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_key_is_said_and_never_taken_for_the_public_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "draws.key").write_bytes(content)
    with pytest.raises(
        StorageError, match=rf"draws.key has {len(content)} bytes, expected 32; remove it and draws.sha256"
    ):
        provide_draw_key(tmp_path)


@pytest.mark.parametrize("name", ["draws.key", "draws.sha256"])
def test_no_bit_of_key_or_digest_changes_unnoticed(tmp_path: Path, name: str) -> None:
    """Another key would draw other cases for a round that is repeated."""
    key = provide_draw_key(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        with pytest.raises(StorageError, match="one of them was changed"):
            provide_draw_key(tmp_path)
    path.write_bytes(content)
    assert provide_draw_key(tmp_path) == key


def test_a_key_of_an_earlier_version_gets_a_digest(tmp_path: Path) -> None:
    (tmp_path / "draws.key").write_bytes(bytes(32))
    assert provide_draw_key(tmp_path) == bytes(32)
    assert (tmp_path / "draws.sha256").stat().st_mode & 0o777 == 0o600
