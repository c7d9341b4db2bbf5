"""Frozen backbones on disk, found by their hash and verified."""

from pathlib import Path

import numpy as np
import pytest

from client.home.backbone_store import BackboneStore, check_hash
from protocol.errors import BackboneMissingError, ModelError
from protocol.messages.tensors import content_hash


def test_a_backbone_on_disk_is_found_by_its_hash_alone(tmp_path: Path) -> None:
    store, tensors = BackboneStore(tmp_path / "backbones"), {"w": np.array([1, 2], np.float32)}
    with pytest.raises(BackboneMissingError, match="the coordinator sends it"):
        store.get(content_hash(tensors))
    store.add(tensors, content_hash(tensors))
    np.testing.assert_array_equal(store.get(content_hash(tensors))["w"], tensors["w"])


def test_a_backbone_with_another_hash_is_not_kept(tmp_path: Path) -> None:
    agreed, sent = {"w": np.array([1, 2], np.float32)}, {"w": np.array([1, 3], np.float32)}
    with pytest.raises(ModelError, match=f"hash {content_hash(sent)}, expected {content_hash(agreed)}"):
        BackboneStore(tmp_path / "backbones").add(sent, content_hash(agreed))
    assert not (tmp_path / "backbones").exists()
    check_hash(agreed, content_hash(agreed))


@pytest.mark.parametrize("place", [0, 9, -1])
def test_a_backbone_damaged_on_disk_is_removed_and_asked_for_again(tmp_path: Path, place: int) -> None:
    """A byte of the header's length, of the header and of a value."""
    store, tensors = BackboneStore(tmp_path), {"w": np.array([1, 2], np.float32)}
    store.add(tensors, content_hash(tensors))
    (path,) = tmp_path.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[place] ^= 0x41
    path.write_bytes(content)
    with pytest.raises(BackboneMissingError, match="the coordinator sends it"):
        store.get(content_hash(tensors))
    assert list(tmp_path.iterdir()) == []
    store.add(tensors, content_hash(tensors))
    np.testing.assert_array_equal(store.get(content_hash(tensors))["w"], tensors["w"])


def test_ever_new_backbones_fill_no_disk_and_what_is_used_or_was_brought_stays(tmp_path: Path) -> None:
    """Of eight that were sent two are kept: the newest, and the first, which was used each time."""
    store = BackboneStore(tmp_path, kept=2)
    backbones = [{"w": np.array([number], np.float32)} for number in range(10)]
    names = [content_hash(backbone) for backbone in backbones]
    store.bring(backbones[9], names[9])
    for number in range(9):
        store.add(backbones[number], names[number])
        store.get(names[0])
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {names[0], names[8]}
    assert store.get(names[9])["w"].tolist() == [9]


def test_the_order_of_use_holds_where_the_clock_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is used after the second arrived: the second gives way to the third, though all times were one."""
    monkeypatch.setattr("time.time_ns", lambda: 1)
    store = BackboneStore(tmp_path, kept=2)
    backbones = [{"w": np.array([number], np.float32)} for number in range(3)]
    first, second, third = [content_hash(backbone) for backbone in backbones]
    store.add(backbones[0], first)
    store.add(backbones[1], second)
    store.get(first)
    store.add(backbones[2], third)
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {first, third}


def test_backbones_are_for_their_owner_alone(tmp_path: Path) -> None:
    store, tensors = BackboneStore(tmp_path / "backbones"), {"w": np.array([1], np.float32)}
    store.add(tensors, content_hash(tensors))
    store.bring(tensors, content_hash(tensors))
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "backbones", *(tmp_path / "backbones").rglob("*"))} == {
        0
    }


@pytest.mark.parametrize("name", ["../cache/entry", "", "a" * 63, "A" * 64, "/" + "a" * 63])
def test_what_is_no_hash_names_no_file(tmp_path: Path, name: str) -> None:
    """A coordinator's name must not lead to another file, which would be taken for a damaged backbone and removed."""
    entry = tmp_path / "cache" / "entry.safetensors"
    entry.parent.mkdir()
    entry.write_bytes(b"a prepared case")
    with pytest.raises(ModelError, match="expected 64 hexadecimal digits"):
        BackboneStore(tmp_path / "backbones").get(name)
    assert entry.read_bytes() == b"a prepared case"


def test_the_backbone_of_a_network_without_one_is_everywhere(tmp_path: Path) -> None:
    assert BackboneStore(tmp_path / "nowhere").get(content_hash({})) == {}
