"""The center that the pages of this room are made of."""

import pytest

from client.data.manifest import Manifest
from tests.support.viewed import viewed_center


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Three cases: "both", "plain" without contour, "sole" without PET and with an error."""
    return viewed_center(tmp_path_factory.mktemp("looked-at") / "hgj")
