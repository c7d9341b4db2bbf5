"""Two centers without data, and the grid over which they come and go."""

from pathlib import Path

import pytest

from tests.support.light_study import ComingAndGoing, LightCenter


@pytest.fixture
def centers(tmp_path: Path) -> dict[str, LightCenter]:
    found = {name: LightCenter(name, tmp_path / name) for name in ("a", "b")}
    for center in found.values():
        center.backbones.add("")
    return found


@pytest.fixture
def grid(centers: dict[str, LightCenter]) -> ComingAndGoing:
    return ComingAndGoing(centers.values())
