"""The small study, its initial state, and two warm trainers of synthetic cases."""

from pathlib import Path

import pytest

from client.service.trainer import Trainer
from server.study.file import Study, read_study
from tests.support.small_study import write_study
from tests.support.start_state import Start


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_study(tmp_path_factory.mktemp("study") / "study.toml"))


@pytest.fixture(scope="module")
def start(study: Study) -> Start:
    return Start(study)


@pytest.fixture
def both(cohort: Path, tmp_path: Path) -> Trainer:
    """A trainer of three cases with CT and PET."""
    return Trainer("center-a", [cohort / "center-a"], ("ct", "pet"), tmp_path / "home-a")


@pytest.fixture
def ct_only(cohort: Path, tmp_path: Path) -> Trainer:
    """A trainer of three cases with CT alone."""
    return Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path / "home-d")
