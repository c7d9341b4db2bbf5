"""The words of our own sentences are those that the readers write."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from client.convert.vocabulary import OWN_WORDS

ROOMS = ("client/convert", "client/dicom", "client/corrections")
FILES = ("client/data/checks.py", "client/data/volume.py", "client/data/nifti_values.py")
MOST_LACKING = 40


def test_the_words_of_messages_are_known() -> None:
    files = [*(path for room in ROOMS for path in Path(room).glob("*.py")), *map(Path, FILES)]
    written = {
        word.casefold() for file in files for text in _sentences(file) for word in re.findall(r"[^\W\d_]+", text)
    }
    lacking = sorted(word for word in written - OWN_WORDS if len(word) > 1)
    assert len(lacking) <= MOST_LACKING, lacking


def test_no_name_of_a_person_is_among_them() -> None:
    assert not OWN_WORDS & {"mueller", "hans", "james", "kim", "li", "ott"}


def _sentences(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text())
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield from [node.value] if " " in node.value else re.findall(r"[A-Z][a-z]+", node.value)
