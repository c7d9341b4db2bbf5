"""Pages of centers, written once for what tests of the page and of its sections read in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.data.manifest import Case
from tests.support.center_page import case, save_prediction, score_rows, write_page
from tests.support.predicted_case import CT, LESION, PET


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., str]:
    """The page of a center from its cases and score rows; predictions are what `tmp_path` already holds."""

    def write(cases: tuple[Case, ...], rows: list[dict[str, Any]], center: str = "north") -> str:
        return write_page(tmp_path, cases, rows, center, "")

    return write


@pytest.fixture(scope="package")
def four_cases(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Cases a, b, c, d with Dice 0.61, 0.84, 0.27 and undefined after `adapt`; a had 0.4 after `pretrain`."""
    home = tmp_path_factory.mktemp("center")
    for name in "abcd":
        save_prediction(home, name, ct=CT, pet=PET, gtv=LESION)
    rows = score_rows({"a": 0.4}, "pretrain") + score_rows({"a": 0.61, "b": 0.84, "c": 0.27, "d": None})
    return write_page(home, tuple(case(name, "ct", "pet", "gtv") for name in "abcd"), rows, "north", "By scanner.")
