"""What the tests of supervision share: a supervisor in a process of its own, ended whatever a test did."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.supervised import Supervised


@pytest.fixture
def supervised(tmp_path: Path, repository: Path) -> Iterator[Supervised]:
    found = Supervised(tmp_path, repository)
    yield found
    found.end()
