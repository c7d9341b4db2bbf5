"""Tests and files of ours that documents name exist; links and commands are in test_documented_commands.py."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "deploy/README.md", *sorted(ROOT.glob("docs/*.md"))]
RESULTS = "runs"
"""What a demonstration leaves: of no document's making."""
ROOMS = sorted(p.name for p in ROOT.iterdir() if p.is_dir() and p.name.isidentifier() and p.name != RESULTS)
PLACE = re.compile(rf"(?<![\w/.:-])(?:{'|'.join(ROOMS)})/[\w./*-]*[\w*](?![\w<])")
FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|sh|yaml|Containerfile|service|conf))`")
TEST = re.compile(r"`(test_\w+)`")
EXAMPLES = {"a/b.py", "tests/a/test_b.py"}
"""Stand for any module and its test."""
OF_A_STUDY = {"server/server.key"}
"""Below a study's directory, which has a folder of that name too."""


@cache
def names_of_ours() -> tuple[frozenset[str], frozenset[str]]:
    """The files of all rooms, and the tests: their modules and their functions."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    tests = [path for path in files if path.name.startswith("test_") and path.suffix == ".py"]
    functions = {name for path in tests for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
    return frozenset(f"/{path.relative_to(ROOT)}" for path in files), frozenset(p.stem for p in tests) | functions


def find_unknown(text: str) -> Iterator[str]:
    """What a document names as ours and what is not there; a module may be named without its `.py`."""
    files, tests = names_of_ours()
    for place in PLACE.findall(text):
        if place not in EXAMPLES | OF_A_STUDY and not [*ROOT.glob(place), *ROOT.glob(f"{place}.py")]:
            yield place
    for file in FILE.findall(text):
        if file not in EXAMPLES and not any(known.endswith(f"/{file}") for known in files):
            yield file
    yield from (name for name in TEST.findall(text) if name not in tests)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(path: Path) -> None:
    assert sorted(set(find_unknown(path.read_text()))) == []


def test_a_name_of_nothing_is_found() -> None:
    there = (
        "`schemes.py`, `tests/test_mirror.py`, strategies/aggregation/, `studies/sts-*.toml`, `test_golden`, `test_vss`"
    )
    gone = ["server/desk.py", "studies/no-*.toml", "steward.py", "compose/none.yaml", "test_scheme_contract"]
    assert list(find_unknown(there)) == []
    assert set(find_unknown(" ".join(f"`{name}`" for name in gone))) == set(gone)
