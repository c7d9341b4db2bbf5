from pathlib import Path

import pytest

from tests.support.corrected_study import Corrected, make_corrected


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    """A converted and predicted study; tests that change it work on a copy."""
    return make_corrected(tmp_path_factory.mktemp("made"))


@pytest.fixture
def study(made: Corrected, tmp_path: Path) -> Corrected:
    """The same, for one test alone."""
    return made.copy_to(tmp_path / "copy")
