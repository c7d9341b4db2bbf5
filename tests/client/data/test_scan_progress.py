"""The reading of cases is told case by case, over all folders; nobody has to listen."""

import shutil
from pathlib import Path

from client.data.scan import scan_folders
from client.data.scan_progress import tell_nobody
from tests.support.two_cases import write_two_cases


def test_each_case_of_all_folders_is_told_once(tmp_path: Path) -> None:
    first = write_two_cases(tmp_path / "a")
    shutil.copytree(first / "one", tmp_path / "b" / "three")
    told: list[tuple[int, int]] = []
    scan_folders("x", [first, tmp_path / "b", tmp_path / "absent"], ("ct",), progress=lambda *seen: told.append(seen))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_nobody_is_told_where_nobody_listens(tmp_path: Path) -> None:
    tell_nobody(1, 2)
    (found,) = scan_folders("x", [write_two_cases(tmp_path / "a")], ("ct",))
    assert len(found.cases) == 2
