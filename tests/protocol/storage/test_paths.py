from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import pytest

from protocol.storage.paths import Below


@dataclass(frozen=True)
class Folder:
    root: Path

    database = Below("link", "link.db")


def test_a_path_lies_below_the_root_of_its_owner() -> None:
    assert Folder(Path("/a")).database == Path("/a/link/link.db")
    assert Folder(Path("b")).database == Path("b/link/link.db")


def test_the_layout_is_no_field_and_cannot_be_set() -> None:
    folder = Folder(Path("/a"))

    with pytest.raises(FrozenInstanceError):
        folder.database = Path("/b")
    assert folder == Folder(Path("/a"))
