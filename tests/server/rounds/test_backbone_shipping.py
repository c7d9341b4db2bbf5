"""A backbone too large for a message is laid out as a file, and the log says what to do with it."""

import logging
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from protocol.errors import QuorumError
from protocol.messages.tensors import content_hash
from tests.support.light_study import STUDY, Light, light


def light_with(folder: Path, limit: int) -> Light:
    """The backbone has 32 float32 values, 128 bytes."""
    return light(folder, STUDY.replace("quorum = 1", f"quorum = 1\nbackbone_by_message_bytes = {limit}"))


def test_a_backbone_up_to_the_limit_goes_by_message(tmp_path: Path) -> None:
    found = light_with(tmp_path, 128)
    found.run()
    assert [error for *_, error in found.errors] == [""] * 6
    assert not found.directory.backbones.exists()


def test_a_larger_one_is_laid_out_once_and_the_center_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = light_with(tmp_path, 127)
    found.centers["a"].backbones.add(content_hash({}))
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(QuorumError, match=r"a: backbone-missing, b: backbone-missing"),
    ):
        found.run()
    (path,) = found.directory.backbones.iterdir()
    assert path.name == f"{content_hash(load_file(path))}.safetensors"
    lines = [record.getMessage() for record in caplog.records if "lacks backbone" in record.getMessage()]
    assert len(lines) == 2, "one line a center, however often it is asked"
    for name, line in zip("ab", sorted(lines), strict=True):
        assert f"center '{name}' lacks backbone {path.stem}, which has 128 bytes" in line
        assert line.endswith(f"Bring it {path}; there: concilium-center join --home HOME --backbone FILE")


def test_a_center_that_was_brought_the_file_takes_part(tmp_path: Path) -> None:
    found = light_with(tmp_path, 0)
    with pytest.raises(QuorumError):
        found.run()
    (path,) = found.directory.backbones.iterdir()
    again = light(tmp_path)
    again.centers["b"].backbones.add(path.stem)
    again.run()
    assert {(center, error) for _, center, error in again.errors} == {("a", "backbone-missing"), ("b", "")}
