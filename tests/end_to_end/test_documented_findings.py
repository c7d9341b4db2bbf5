"""Every code of a finding stands in the documents, and every code there is one that the program gives."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from client.data.checks import GRADES, NO_IMAGE
from client.data.labels import CellCode

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = {"data.md": "## What is checked", "corrections.md": "## What is told"}
"""Document -> the heading from which on its tables are of codes."""
ROOMS = ("data", "cli", "corrections")
TELL = {"issue", "Issue", "_about", "_tell", "find_in_archive"}
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


def documented() -> dict[str, str]:
    """Code -> the words about its grade."""
    sections = [(ROOT / "docs" / name).read_text().split(heading)[1] for name, heading in DOCUMENTS.items()]
    rows = [row for section in sections for row in ROW.findall(section)]
    return {code: grade for codes, grade in rows for code in re.findall(r"[\w-]+", codes)}


def test_every_code_is_documented_with_its_grade() -> None:
    found = documented()
    assert sorted(set(codes_in_source(*ROOMS)) - set(found)) == []
    assert [code for code, grade in found.items() if not any(word in grade for word in GRADES)] == []


def test_every_documented_code_is_given() -> None:
    rooms = sorted(path.name for path in (ROOT / "client").iterdir() if path.is_dir())
    assert sorted(set(documented()) - set(codes_in_source(*rooms))) == []
