"""The lines of a trainer's log that are shown to the engineer at the center."""

from pathlib import Path

from deploy.center.work_shown import MARK, WorkShown


def test_new_lines_of_work_are_shown_once_and_others_never(tmp_path: Path) -> None:
    log = tmp_path / "trainer.log"
    log.write_text(f"2026-01-01{MARK}an earlier start\n")
    shown = WorkShown(log)
    assert list(shown.new_lines()) == []
    with log.open("a") as file:
        file.write(
            f"2026-01-01 client.data.scan case 'x' is large\n2026-01-01{MARK}trains, round 1\n2026-01-01{MARK}hal"
        )
    assert list(shown.new_lines()) == ["trains, round 1"]
    with log.open("a") as file:
        file.write("f a line\n")
    assert list(shown.new_lines()) == ["half a line"]
    assert list(shown.new_lines()) == []


def test_a_log_that_is_not_there_yet_or_was_cut_is_followed(tmp_path: Path) -> None:
    log = tmp_path / "trainer.log"
    shown = WorkShown(log)
    assert list(shown.new_lines()) == []
    log.write_text(f"a{MARK}trains, round 1\nb{MARK}trains, round 2\n")
    assert len(list(shown.new_lines())) == 2
    log.write_text(f"a{MARK}cut\n")
    assert list(shown.new_lines()) == ["cut"]
