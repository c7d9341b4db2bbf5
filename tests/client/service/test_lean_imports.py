"""Libraries that imports do not find for the length of a block."""

import importlib
import sys
from pathlib import Path

import pytest

from client.service.lean_imports import without


def test_a_library_is_not_found_within_the_block_and_is_found_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_for_a_test.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with without(("made_for_a_test",)), pytest.raises(ImportError):
        importlib.import_module("made_for_a_test")
    assert importlib.import_module("made_for_a_test").__name__ == "made_for_a_test"
    monkeypatch.delitem(sys.modules, "made_for_a_test")


def test_what_was_imported_before_stays() -> None:
    with without(("json",)):
        assert importlib.import_module("json") is sys.modules["json"]
    assert sys.modules["json"] is not None
