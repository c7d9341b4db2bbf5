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


def test_a_backbone_damaged_on_disk_is_refused(tmp_path: Path) -> None:
    store, tensors = BackboneStore(tmp_path), {"w": np.array([1, 2], np.float32)}
    store.add(tensors, content_hash(tensors))
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelError, match="nothing was trained on it"):
        store.get(content_hash(tensors))


def test_the_backbone_of_a_network_without_one_is_everywhere(tmp_path: Path) -> None:
    assert BackboneStore(tmp_path / "nowhere").get(content_hash({})) == {}
