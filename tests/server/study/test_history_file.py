"""A history comes back as it was, whatever came to it or went; the file grows by what is new, and by nothing else."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from protocol.errors import StorageError
from server.study.history import GateRecord, History, LateRecord, QueryRecord, RollbackRecord, RoundRecord, StageRow
from server.study.history_file import Extent, HistoryFile
from strategies.continual.gate import Verdict
from tests.support.segmentation_scores import dice_score


def record(number: int, center: str = "a", loss: float | None = 0.1) -> RoundRecord:
    scores = {"ct": dice_score(3, 0.25, None, 0, 3)}
    return RoundRecord("s", number, center, loss=loss, validation=scores, support={"peft": 3})  # type: ignore[arg-type]


def grown(rounds: int, centers: str = "ab") -> list[History]:
    """A history after each of its rounds."""
    found, history = [], History()
    for number in range(1, rounds + 1):
        new = tuple(record(number, center) for center in centers)
        history = replace(history, rounds=(*history.rounds, *new))
        found.append(history)
    return found


def read(folder: Path, extent: Extent) -> History:
    return HistoryFile(folder / "checkpoint").read(extent)


def test_every_kind_of_record_comes_back(tmp_path: Path) -> None:
    verdict = Verdict(promoted=True, worst=("a", -0.2), mean=0.1, lower_bound=None, reason="none loses")
    history = History(
        rounds=(record(1), record(1, "b")),
        rows=(StageRow("s", {"a": {"ct": dice_score(3, 0.5, 2.0)}}),),
        gates=(GateRecord("s", verdict),),
        queries=(QueryRecord("s", "compare", "a"),),
        late=(LateRecord("s", 1, "b", 2, "set-aside", "ab"),),
        rollbacks=(RollbackRecord("s", 2, 1, {"a": 0.5}),),
    )
    assert read(tmp_path, HistoryFile(tmp_path / "checkpoint").write(history)) == history
    assert read(tmp_path, Extent()) == History()


def test_a_loss_that_is_not_a_number_comes_back(tmp_path: Path) -> None:
    extent = HistoryFile(tmp_path / "c").write(History((record(1, loss=float("nan")), record(2, loss=None))))
    first, second = read(tmp_path, extent).rounds
    assert first.loss is not None
    assert first.loss != first.loss
    assert second.loss is None


def test_each_extent_counts_what_there_was_when_it_was_written(tmp_path: Path) -> None:
    file, histories = HistoryFile(tmp_path / "c"), grown(4)
    extents = [file.write(history) for history in histories]
    assert file.write(histories[-1]) == extents[-1]
    assert [read(tmp_path, extent) for extent in extents] == histories


def test_the_file_grows_by_what_is_new(tmp_path: Path) -> None:
    """Of fifty rounds the last writes as many bytes as the tenth; written whole each time it would be five times."""
    file = HistoryFile(tmp_path / "c")
    sizes = [file.write(history).size for history in grown(50)]
    assert sizes[49] - sizes[48] == sizes[10] - sizes[9]


def test_what_was_read_is_gone_on_with_and_not_written_again(tmp_path: Path) -> None:
    first, second = grown(2)
    extent = HistoryFile(tmp_path / "c").write(first)
    file = HistoryFile(tmp_path / "c")
    history = file.read(extent)
    longer = replace(history, rounds=(*history.rounds, *second.rounds[2:]))
    assert read(tmp_path, file.write(longer)) == second
    assert file.path.read_bytes().count(b"\n") == 2


def test_a_line_that_no_checkpoint_counts_makes_room_for_the_next(tmp_path: Path) -> None:
    """A kill between history and checkpoint, in the middle of a line or after it."""
    first, second = grown(2)
    extent = HistoryFile(tmp_path / "c").write(first)
    for left in (b'{"rounds": [{"stage": "cut', b'{"late": []}\n'):
        file = HistoryFile(tmp_path / "c")
        with file.path.open("ab") as lines:
            lines.write(left)
        history = file.read(extent)
        longer = replace(history, rounds=(*history.rounds, *second.rounds[2:]))
        assert read(tmp_path, file.write(longer)) == second
        assert left not in file.path.read_bytes()


def test_a_history_that_goes_another_way_leaves_what_earlier_checkpoints_count(tmp_path: Path) -> None:
    file, (first, second) = HistoryFile(tmp_path / "c"), grown(2)
    extent = file.write(first)
    file.write(second)
    without_b = replace(second, rounds=tuple(found for found in second.rounds if found.center == "a"))
    assert read(tmp_path, file.write(without_b)) == without_b
    assert read(tmp_path, file.write(History())) == History()
    assert read(tmp_path, extent) == first


def test_one_who_read_nothing_keeps_the_lines_that_are_there(tmp_path: Path) -> None:
    first, second = grown(2)
    extent = HistoryFile(tmp_path / "c").write(first)
    other = HistoryFile(tmp_path / "c").write(second)
    assert read(tmp_path, extent) == first
    assert read(tmp_path, other) == second


@pytest.mark.parametrize("harm", ["flipped", "cut", "missing"])
def test_a_file_that_does_not_hold_what_counts_is_refused(tmp_path: Path, harm: str) -> None:
    file = HistoryFile(tmp_path / "c")
    extent = file.write(grown(2)[-1])
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:-1] if harm == "cut" else whole.replace(b"0.1", b"0.2", 1))
    if harm == "missing":
        file.path.unlink()
    with pytest.raises(StorageError, match=r"history .* is damaged .*restore it and the checkpoint from a copy"):
        read(tmp_path, extent)


def test_a_full_disk_leaves_what_counted_and_the_next_write_goes_on(tmp_path: Path) -> None:
    file, (first, second) = HistoryFile(tmp_path / "c"), grown(2)
    extent = file.write(first)
    full = patch("server.study.history_file.write_all", side_effect=OSError(28, "No space left on device"))
    with full, pytest.raises(StorageError, match="No space left on device"):
        file.write(second)
    assert read(tmp_path, extent) == first
    assert read(tmp_path, file.write(second)) == second
