"""Tables as hospitals write them: understood, or refused by name."""

from pathlib import Path

import pytest

from client.data.table import find_table, list_few, read_table
from protocol.errors import CaseError

PLAIN = "case,age\np1,61\np2,\n"


def write(path: Path, content: str | bytes = PLAIN) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        "Case , AGE\n p1 , 61\np2,NA\n\n",
        "case,age,\np1,61,\np2,nan,\n",
        'case,age\n"p1","61"\n"p2",""\n',
        '"case";"age";"weight, height, sex"\np1;61;\np2;;\n',
    ],
    ids=[
        "plain",
        "bom",
        "utf-16",
        "semicolon",
        "tab",
        "crlf",
        "sep",
        "capitals",
        "unnamed-empty",
        "quoted",
        "two",
    ],
)
def test_dialects_say_the_same(tmp_path: Path, content: str | bytes) -> None:
    table = read_table(write(tmp_path / "t.csv", content))
    assert [(row.text("case"), row.text("age")) for row in table.rows] == [("p1", "61"), ("p2", "")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "0 line"),
        ("case,age\n", "1 line"),
        ("case,age\np1,61,5\n", "line 2 has 3"),
        ("case,age\np1\n", "line 2 has 1"),
        ("case,age,Age\np1,61,62\n", "'age'"),
        ("case,\np1,61\n", "without a name"),
        ('case,age\n"p1,61\n', "line 2"),
        ("case,größe\np1,61\n".encode("latin-1"), "not UTF-8"),
    ],
    ids=["empty", "header", "more", "fewer", "twice", "unnamed", "quote", "latin"],
)
def test_what_cannot_be_understood_is_refused_by_name(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(CaseError, match=told):
        read_table(write(tmp_path / "t.csv", content))


def test_a_row_knows_its_line_and_a_table_its_case_column(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", "patient,x\n\np1,1\n"))
    assert ([row.line for row in table.rows], table.case_column) == ([3], "patient")
    assert read_table(write(tmp_path / "u.csv", "patient,CASE\na,b\n")).case_column == "case"
    assert read_table(write(tmp_path / "v.csv", "id,x\na,b\n")).case_column == ""


def test_the_table_in_the_folder_goes_before_the_one_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "center-a"
    beside = write(tmp_path / "labels.csv")
    folder.mkdir()
    assert find_table(folder, "", ["age"]) == beside
    within = write(folder / "clinical.csv")
    assert find_table(folder, "", ["age"]) == within
    assert find_table(folder, "labels.csv", ["age"]) == beside
    assert find_table(folder, "other.csv", ["age"]) is None


def test_participants_are_a_table_only_with_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "center-a" / "participants.csv", "patient,stage\np1,2\n")
    assert find_table(path.parent, "", ["Stage"]) == path
    assert find_table(path.parent, "", ["age"]) is None
    write(path, b"\xff")
    assert find_table(path.parent, "", ["stage"]) is None


def test_a_long_list_is_cut() -> None:
    assert list_few(["a", "b", "c"], most=2) == "a, b and 1 more"
    assert list_few(["a", "b"], most=2) == "a, b"
