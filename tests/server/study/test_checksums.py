"""What decides a study's results is as it was prepared, to the bit."""

from pathlib import Path

import pytest

from protocol.errors import StudyError
from server.study.checksums import CHECKSUMS, expects
from server.study.directory import read_prepared
from tests.support.light_study import light

FILES = ("study.toml", "tensors.json", "initial.safetensors", "adapter_config.json")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_bit_is_named(tmp_path: Path, name: str) -> None:
    """The last one of each file: blank or value, nobody has to know."""
    root = light(tmp_path).root
    content = bytearray((root / name).read_bytes())
    content[-1] ^= 1
    (root / name).write_bytes(content)
    with pytest.raises(StudyError, match=rf"not as it was prepared: {name} has SHA-256|is not valid TOML"):
        read_prepared(root)


@pytest.mark.parametrize("content", [b"{", b'{"files": {}}', b"[]", b""])
def test_damaged_checksums_are_an_error(tmp_path: Path, content: bytes) -> None:
    root = light(tmp_path).root
    (root / CHECKSUMS).write_bytes(content)
    with pytest.raises(StudyError, match="is damaged"):
        read_prepared(root)


def test_a_directory_of_an_earlier_version_is_taken_and_this_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = light(tmp_path).root
    (root / CHECKSUMS).unlink()
    assert read_prepared(root).study.name == "light"
    assert "is not checked" in caplog.text


def test_what_a_file_is_to_hold_is_known_without_it(tmp_path: Path) -> None:
    root = light(tmp_path).root
    content = (root / "study.toml").read_bytes()
    (root / "study.toml").write_text("")
    assert expects(root, "study.toml", content)
    assert not expects(root, "study.toml", b"")
    assert not expects(tmp_path, "study.toml", content)
