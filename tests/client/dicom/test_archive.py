"""Every regular file below the source is listed once, whatever links and archives there are."""

import os
import zipfile
from pathlib import Path

from client.dicom.archive import DEEPEST, list_files


def names(source: Path) -> list[str]:
    files, issues = list_files(source, source.parent / "unpacked")
    assert issues == ()
    return sorted(path.name for path in files)


def test_files_at_any_depth_are_listed_and_dead_links_are_not(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    for path in ("z", "a/y", "a/b/x"):
        (source / path).write_bytes(b"1")
    (source / "dead").symlink_to(source / "nowhere")
    assert names(source) == ["x", "y", "z"]
    assert names(source / "a" / "y") == ["y"]


def test_a_pipe_is_told_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    os.mkfifo(tmp_path / "source" / "pipe")
    files, (issue,) = list_files(tmp_path / "source", tmp_path / "unpacked")
    assert (files, issue.code, issue.grade) == ((), "special-file", "warning")
    assert issue.source == str(tmp_path / "source" / "pipe")


def test_a_loop_of_links_ends_and_a_linked_file_counts_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "a" / "x").write_bytes(b"1")
    (source / "a" / "up").symlink_to(source)
    (source / "b").symlink_to(source / "a" / "x")
    assert len(names(source)) == 1


def test_members_of_zip_archives_take_their_place_also_inside_of_others(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as inner:
        inner.writestr("one", b"1")
    with zipfile.ZipFile(source / "deep" / "export", "w") as outer:
        outer.write(tmp_path / "inner.zip", "folder/inner.zip")
        outer.writestr("two", b"2")
    assert names(source) == ["one", "two"]


def test_archives_too_deep_inside_of_each_other_are_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    content = b"innermost"
    for depth in range(DEEPEST + 1):
        path = tmp_path / f"{depth}.zip"
        with zipfile.ZipFile(path, "w") as made:
            made.writestr("inside", content)
        content = path.read_bytes()
    path.rename(source / "deep.zip")
    files, (issue,) = list_files(source, tmp_path / "unpacked")
    assert (files, issue.code) == ((), "zip-deep")


def test_a_folder_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    _, (issue,) = list_files(tmp_path / "missing", tmp_path / "unpacked")
    assert (issue.code, issue.grade, issue.source) == ("folder-closed", "warning", str(tmp_path / "missing"))
