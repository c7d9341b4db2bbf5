"""Every code of a finding stands in the documents, and every code there is one that the program gives."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from client.data.checks import GRADES, NO_IMAGE
from client.data.labels import CellCode

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("data.md", "data-dicom.md", "corrections.md", "predict.md")
ROOMS = ("data", "cli", "corrections", "dicom", "convert", "predict", "viewing", "pacs")
TELL = {"issue", "Issue", "_about", "_tell", "tell", "note", "_issue", "find_in_archive", "Failure", "_warn"}
"""What a finding is made by; its code comes first."""
ROW = re.compile(r"^\| ((?:`[\w-]+`(?:, )?)+) \| (.+?) \|", re.MULTILINE)


def codes_in_source(*rooms: str) -> Iterator[str]:
    """The codes that the modules of these rooms give as literals, and those that stand in a type or a constant."""
    yield from (NO_IMAGE, *get_args(CellCode))
    for room in rooms:
        for path in sorted((ROOT / "client" / room).rglob("*.py")):
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            for call in calls:
                name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                first = call.args[0] if call.args else None
                if name in TELL and isinstance(first, ast.Constant):
                    yield str(first.value)


def documented() -> set[str]:
    """The codes in the first cells of rows whose second one is about a grade."""
    rows = [row for name in DOCUMENTS for row in ROW.findall((ROOT / "docs" / name).read_text())]
    of_findings = [codes for codes, grade in rows if any(word in grade for word in GRADES)]
    return {code for codes in of_findings for code in re.findall(r"[\w-]+", codes)}


def test_every_code_is_documented_with_its_grade() -> None:
    assert sorted(set(codes_in_source(*ROOMS)) - documented()) == []


def literals() -> set[str]:
    """Every text that stands in a module of the center; some codes reach their finding by way of a variable."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "client").rglob("*.py"))
    values = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in values if isinstance(value, str)}


def test_every_documented_code_is_given() -> None:
    assert sorted(documented() - literals()) == []
