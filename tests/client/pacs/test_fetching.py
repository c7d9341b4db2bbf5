"""Objects in a folder: whole, private, asked for once, and all that the PACS lists."""

import stat
from pathlib import Path

import pytest

from client.pacs.contract import FoundSeries, Keep, PacsSilentError, SeriesShortError
from client.pacs.fetching import Fetched, fetch_study, wanted
from client.pacs.pace import Pace
from client.pacs.patience import Patience
from protocol.errors import StorageError
from tests.support.pacs import AT_ONCE, PacsInMemory, made_pacs

FILES = [f"1.1.{series}/1.1.{series}.{item}.dcm" for series, count in ((1, 3), (2, 2)) for item in range(1, count + 1)]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_series_of_some_modalities_come_whole(tmp_path: Path) -> None:
    found = fetch_study(made_pacs(), "1.1", tmp_path / "s", patience=AT_ONCE)
    assert files(tmp_path / "s") == FILES
    assert found == Fetched(objects=5, received=5, received_bytes=5 * len("object 1.1.1.1"))
    assert (tmp_path / "s" / FILES[0]).read_text() == "object 1.1.1.1"


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    fetch_study(made_pacs(), "1.1", tmp_path / "s", patience=AT_ONCE)
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "s").rglob("*")}
    assert modes == {True: 0o700, False: 0o600}


def test_what_is_there_is_not_asked_for_again(tmp_path: Path) -> None:
    pacs = made_pacs()
    fetch_study(pacs, "1.1", tmp_path, patience=AT_ONCE)
    (tmp_path / FILES[4]).unlink()
    again = fetch_study(pacs, "1.1", tmp_path, patience=AT_ONCE)
    assert pacs.fetched == ["1.1.1", "1.1.2", "1.1.2"]
    assert files(tmp_path) == FILES
    assert again.received == 2


def test_a_series_that_breaks_off_is_asked_for_again(tmp_path: Path) -> None:
    pacs = made_pacs()
    pacs.fails = {"1.1.1": [PacsSilentError("off"), "1.1.1.2"]}
    fetch_study(pacs, "1.1", tmp_path, patience=Patience(3, 0, lambda _s: None))
    assert pacs.fetched == ["1.1.1", "1.1.1", "1.1.1", "1.1.2"]
    assert files(tmp_path) == FILES


def test_an_object_that_never_comes_is_named(tmp_path: Path) -> None:
    pacs = made_pacs()
    pacs.fails = {"1.1.1": ["1.1.1.2", "1.1.1.2"]}
    with pytest.raises(SeriesShortError, match=r"1 of 3 object\(s\) did not come, the first is 1\.1\.1\.2"):
        fetch_study(pacs, "1.1", tmp_path, patience=Patience(2, 0, lambda _s: None))
    assert len(files(tmp_path)) == 2


class Talkative(PacsInMemory):
    """Sends what was not asked for."""

    def fetch_series(self, series: FoundSeries, keep: Keep) -> None:
        keep("../9", b"x")
        super().fetch_series(series, keep)


def test_an_object_that_was_not_listed_is_not_kept(tmp_path: Path) -> None:
    fetch_study(Talkative(series=made_pacs().series), "1.1", tmp_path, modalities=["CT"], patience=AT_ONCE)
    assert files(tmp_path) == FILES[:3]


def test_the_pace_counts_every_byte(tmp_path: Path) -> None:
    slept: list[float] = []
    fetch_study(made_pacs(), "1.1", tmp_path, patience=AT_ONCE, pace=Pace(14, clock=lambda: 0.0, sleep=slept.append))
    assert slept == [1, 2, 3, 4, 5]


def test_a_disk_that_refuses_ends_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be made"):
        fetch_study(made_pacs(), "1.1", tmp_path / "file" / "s", patience=AT_ONCE)


def test_an_empty_series_is_not_wanted() -> None:
    series = made_pacs().series[:2]
    assert wanted(series, ["PT"]) == (series[1],)
