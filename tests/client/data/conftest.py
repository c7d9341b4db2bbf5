from pathlib import Path

import pytest

from tests.support.two_cases import write_two_cases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sound cases, "one" and "two"."""
    return write_two_cases(tmp_path / "center-a")
