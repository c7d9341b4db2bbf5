"""Which line of an outgoing log is the first that does not stand as it was written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.storage.chain import append_line, head_path
from protocol.storage.chain_check import Chain, check_chain

Lines = list[bytes]
LINES = 5


def written(folder: Path, lines: int = LINES) -> Path:
    """A log of so many lines."""
    log = folder / "outgoing.jsonl"
    for number in range(lines):
        append_line(log, {"kind": "train", "tensors": number, "facts": {"device": "cpu"}})
    return log


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("whole"))


def after(whole: Path, folder: Path, edit: Callable[[Lines], Lines]) -> Chain:
    """What is said of the log once its lines were edited."""
    log = folder / whole.name
    log.write_bytes(b"".join(line + b"\n" for line in edit(whole.read_bytes().splitlines())))
    head_path(log).write_bytes(head_path(whole).read_bytes())
    return check_chain(log)


def replaced(line: int, old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    return lambda lines: [
        found.replace(old, new, 1) if place == line - 1 else found for place, found in enumerate(lines)
    ]


FORGED = b'{"kind": "train", "tensors": 9}'
EDITS: dict[str, tuple[int, Callable[[Lines], Lines]]] = {
    "edited first": (1, replaced(1, b"train", b"trajn")),
    "edited middle": (3, replaced(3, b'"tensors": 2', b'"tensors": 7')),
    "edited last": (5, replaced(5, b"cpu", b"gpu")),
    "edited chain": (3, replaced(3, b'"chain": "', b'"chain": "0')),
    "edited number": (3, replaced(3, b'"number": 3', b'"number": 4')),
    "removed first": (1, lambda lines: lines[1:]),
    "removed middle": (3, lambda lines: [*lines[:2], *lines[3:]]),
    "removed last": (5, lambda lines: lines[:-1]),
    "removed all": (1, lambda _lines: []),
    "cut last": (5, lambda lines: [*lines[:-1], lines[-1][:-10]]),
    "reordered": (2, lambda lines: [lines[0], lines[2], lines[1], *lines[3:]]),
    "repeated": (3, lambda lines: [*lines[:2], lines[1], *lines[2:]]),
    "added first": (1, lambda lines: [FORGED, *lines]),
    "added middle": (3, lambda lines: [*lines[:2], FORGED, *lines[2:]]),
    "added last": (6, lambda lines: [*lines, FORGED]),
    "text last": (6, lambda lines: [*lines, b"not json"]),
    "list last": (6, lambda lines: [*lines, b"[1]"]),
    "blank last": (6, lambda lines: [*lines, b""]),
    "blank": (3, lambda lines: [*lines[:2], b"", *lines[2:]]),
}


@pytest.mark.parametrize(("line", "edit"), EDITS.values(), ids=EDITS)
def test_the_first_line_that_does_not_stand_is_named(
    whole: Path, tmp_path: Path, line: int, edit: Callable[[Lines], Lines]
) -> None:
    broken = after(whole, tmp_path, edit).broken
    assert broken is not None
    assert broken.line == line, broken.found


@given(st.data())
def test_no_byte_can_change_unnoticed(whole: Path, data: st.DataObject) -> None:
    content = whole.read_bytes()
    place, bit = data.draw(st.integers(0, len(content) - 2)), data.draw(st.integers(0, 7))
    log = whole.parent / "flipped" / whole.name
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :])
    head_path(log).write_bytes(head_path(whole).read_bytes())
    assert check_chain(log).broken is not None


def test_a_log_that_was_cut_stays_broken_when_it_goes_on(tmp_path: Path) -> None:
    """The next line goes on from the head, so that the gap of two lines stays."""
    log = written(tmp_path)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]))
    append_line(log, {})
    broken = check_chain(log).broken
    assert broken is not None
    assert (broken.line, json.loads(log.read_bytes().splitlines()[-1])["number"]) == (4, 6)


@pytest.mark.parametrize("removed", [0, 2])
def test_a_head_cannot_be_removed_unnoticed(tmp_path: Path, removed: int) -> None:
    """Neither before the next line nor after it, with lines removed or without."""
    log = written(tmp_path)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[: LINES - removed]))
    head_path(log).unlink()
    first = check_chain(log).broken
    append_line(log, {})
    then = check_chain(log).broken
    assert first is not None
    assert then is not None
    assert "the head of the chain is missing" in first.found
    assert (then.line, then.found.partition(";")[0]) == (LINES - removed + 1, "the head was lost before it was written")


def test_a_damaged_head_is_a_break(tmp_path: Path) -> None:
    log = written(tmp_path)
    head_path(log).write_text("{")
    assert check_chain(log).broken is not None


def test_a_log_of_an_earlier_version_has_no_chain_yet(tmp_path: Path) -> None:
    log = tmp_path / "outgoing.jsonl"
    log.write_bytes(b'{"kind": "train"}\n')
    chain = check_chain(log)
    assert (chain.lines, chain.older, chain.head, chain.broken) == (1, 1, "", None)
