"""Every promise of the security page names tests that exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
CELLS = 4
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> Iterator[list[str]]:
    """The cells of each row, heads and rules of tables aside."""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("| ") and cells[0] not in {"threat", "---"}:
            yield cells


def names_of_tests(path: Path) -> set[str]:
    """The names of the test functions of a file; none where there is no such file."""
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module(body=[], type_ignores=[])
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_row_has_its_four_cells() -> None:
    assert [row[0] for row in rows() if len(row) != CELLS or not all(row)] == []


def test_every_row_names_tests_that_exist() -> None:
    named = {row[0]: TEST.findall(row[-1]) for row in rows()}
    assert [threat for threat, tests in named.items() if not tests] == []
    missing = [
        f"{path}::{name}" for tests in named.values() for path, name in tests if name not in names_of_tests(ROOT / path)
    ]
    assert missing == []
