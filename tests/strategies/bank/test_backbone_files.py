"""Backbones by content hash, each told of before it is written or removed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import BankError
from protocol.messages.tensors import content_hash
from strategies.bank.backbone_files import backbone_path, hashes_in, put_backbone, read_backbone, remove_backbone
from strategies.bank.told import digest

TENSORS = {"w": np.ones(3, np.float32)}


def test_it_is_told_of_before_it_is_written_and_once(tmp_path: Path) -> None:
    told: list[tuple[str, Any, bool]] = []
    path = backbone_path(tmp_path, content_hash(TENSORS))
    for _ in range(2):
        sha256 = put_backbone(tmp_path, TENSORS, lambda event, facts: told.append((event, facts, path.exists())))
    facts = {"sha256": sha256, "file_sha256": digest(path.read_bytes())}
    assert told == [("backbone", facts, False)]
    assert np.array_equal(read_backbone(tmp_path, sha256)["w"], TENSORS["w"])


def test_its_removal_is_told_of_once(tmp_path: Path) -> None:
    told: list[str] = []
    sha256 = put_backbone(tmp_path, TENSORS, lambda *_: None)
    for _ in range(2):
        remove_backbone(tmp_path, sha256, lambda event, facts: told.append(f"{event} {facts['sha256']}"))
    assert (told, hashes_in(tmp_path / "backbones")) == ([f"backbone_removed {sha256}"], ())
    with pytest.raises(BankError, match="cannot be read"):
        read_backbone(tmp_path, sha256)


def test_what_is_no_content_hash_is_refused_and_not_listed(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="expected 64 hexadecimal digits"):
        backbone_path(tmp_path, "../study")
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones" / "mine.safetensors").write_bytes(b"")
    assert hashes_in(tmp_path / "backbones") == ()


def test_another_backbone_under_its_name_is_refused(tmp_path: Path) -> None:
    one = put_backbone(tmp_path, TENSORS, lambda *_: None)
    other = put_backbone(tmp_path, {"w": np.zeros(3, np.float32)}, lambda *_: None)
    backbone_path(tmp_path, one).write_bytes(backbone_path(tmp_path, other).read_bytes())
    with pytest.raises(BankError, match="is damaged: content hash found"):
        read_backbone(tmp_path, one)
