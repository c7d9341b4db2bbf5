"""Each line of an outgoing log carries the state of all bytes before it; the head stands beside the log."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path

import pytest

from protocol.errors import StorageError
from protocol.storage.atomic_files import write_private
from protocol.storage.chain import advance, append_line, append_lines, begin_log, lines_in, read_head
from protocol.storage.chain_check import check_chain
from protocol.storage.torn_line import torn_path

START = 64 * "0"


def test_a_line_carries_the_state_before_it_and_the_head_the_state_after(tmp_path: Path) -> None:
    log = tmp_path / "home" / "outgoing.jsonl"
    for kind in ("register", "train"):
        append_line(log, {"kind": kind})
    first, second = log.read_bytes().splitlines()
    one = hashlib.sha256(START.encode() + first).hexdigest()
    two = hashlib.sha256(one.encode() + second).hexdigest()
    assert json.loads(first) == {"kind": "register", "number": 1, "chain": START}
    assert json.loads(second) == {"kind": "train", "number": 2, "chain": one}
    head = read_head(log)
    assert head is not None
    assert (head.bytes, head.lines, head.chain) == (log.stat().st_size, 2, two)


def test_log_head_and_lock_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        append_line(tmp_path / "home" / "outgoing.jsonl", {})
    finally:
        os.umask(mask)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "home").iterdir()}
    assert modes == {"outgoing.jsonl": 0o600, "outgoing.head": 0o600, "outgoing.lock": 0o600}


def test_writers_at_the_same_time_make_one_chain(tmp_path: Path) -> None:
    log = tmp_path / "outgoing.jsonl"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: append_line(log, {"n": number}), range(12)))
    chain = check_chain(log)
    assert (chain.lines, chain.broken) == (12, None)


def test_a_line_that_the_head_does_not_know_yet_is_what_the_next_one_goes_on_from(tmp_path: Path) -> None:
    """A kill between a line and its head."""
    log, head = tmp_path / "outgoing.jsonl", tmp_path / "outgoing.head"
    append_line(log, {"n": 1})
    before = head.read_bytes()
    append_line(log, {"n": 2})
    head.write_bytes(before)
    assert check_chain(log).broken is None
    append_line(log, {"n": 3})
    assert [json.loads(line)["number"] for line in lines_in(log.read_bytes())] == [1, 2, 3]
    assert check_chain(log).broken is None


def test_a_log_whose_last_line_was_cut_off_goes_on_without_it(tmp_path: Path) -> None:
    log = tmp_path / "outgoing.jsonl"
    append_line(log, {"n": 1})
    with log.open("ab") as file:
        file.write(b'{"n": 2, "chain": "00')
    assert check_chain(log).broken is None
    append_line(log, {"n": 3})
    assert [json.loads(line)["n"] for line in lines_in(log.read_bytes())] == [1, 3]
    assert check_chain(log).broken is None
    assert torn_path(log).read_bytes() == b'{"n": 2, "chain": "00\n'


def test_what_an_earlier_version_left_standing_of_a_cut_line_is_still_covered(tmp_path: Path) -> None:
    log = tmp_path / "outgoing.jsonl"
    append_line(log, {"n": 1})
    torn = b'{"n": 2, "cha'
    state = advance(START, [log.read_bytes()[:-1], torn])
    with log.open("ab") as file:
        file.write(torn + b"\n" + json.dumps({"n": 3, "number": 2, "chain": state}, sort_keys=True).encode() + b"\n")
    append_line(log, {"n": 4})
    assert check_chain(log).broken is None
    assert len(lines_in(log.read_bytes())) == 4


def test_a_line_that_is_cut_in_the_middle_of_a_log_stays_an_error(tmp_path: Path) -> None:
    log = tmp_path / "outgoing.jsonl"
    for number in range(3):
        append_line(log, {"n": number})
    lines = log.read_bytes().split(b"\n")
    log.write_bytes(b"\n".join([lines[0], lines[1][:20], *lines[2:]]))
    append_line(log, {"n": 3})
    assert check_chain(log).broken is not None


def test_a_disk_that_takes_half_a_line_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "outgoing.jsonl"
    append_line(log, {"n": 1})
    before = log.read_bytes()

    def write_half(file: FileIO, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("protocol.storage.chain.write_all", write_half)
        with pytest.raises(OSError, match="No space"):
            append_line(log, {"n": 2})
    assert log.read_bytes() == before
    assert not torn_path(log).exists()


def test_a_log_of_an_earlier_version_is_covered_from_the_first_chained_line_on(tmp_path: Path) -> None:
    log = tmp_path / "outgoing.jsonl"
    log.write_bytes(b'{"n": 1}\n{"n": 2}\n')
    append_line(log, {"n": 3})
    chain = check_chain(log)
    assert (chain.lines, chain.older, chain.broken) == (3, 2, None)
    assert json.loads(lines_in(log.read_bytes())[2])["chain"] == advance(START, [b'{"n": 1}', b'{"n": 2}'])


@pytest.mark.parametrize("written", [0, 3])
def test_kills_in_a_row_before_the_head_is_written_break_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    log = tmp_path / "outgoing.jsonl"
    for number in range(written):
        append_line(log, {"n": number})
    for number in range(3):
        with monkeypatch.context() as patch:
            patch.setattr("protocol.storage.chain.write_private", _fail_after_the_first(log, KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                append_line(log, {"n": number})
        assert check_chain(log).broken is None
    append_line(log, {"n": 9})
    assert (check_chain(log).lines, check_chain(log).broken) == (written + 4, None)


@pytest.mark.parametrize("written", [0, 3])
def test_a_disk_with_room_for_a_line_but_for_no_head_keeps_no_line_of_what_was_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    log = tmp_path / "outgoing.jsonl"
    for number in range(written):
        append_line(log, {"n": number})
    with monkeypatch.context() as patch:
        full = StorageError("the disk is full")
        patch.setattr("protocol.storage.chain.write_private", _fail_after_the_first(log, full))
        with pytest.raises(StorageError):
            append_line(log, {"n": 8})
    append_line(log, {"n": 9})
    assert [json.loads(line)["n"] for line in lines_in(log.read_bytes())] == [*range(written), 9]
    assert check_chain(log).broken is None


def _fail_after_the_first(log: Path, error: BaseException) -> Callable[[Path, bytes], None]:
    def write(path: Path, data: bytes) -> None:
        if log.stat().st_size:
            raise error
        write_private(path, data)

    return write


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_line_of_root_leaves_log_and_head_to_their_owner(tmp_path: Path) -> None:
    """Root may sign a log that the account that serves goes on with."""
    log = tmp_path / "audit.jsonl"
    append_line(log, {})
    for path in (log, log.with_suffix(".head")):
        os.chown(path, 65534, 65534)
    append_line(log, {})
    assert {path.stat().st_uid for path in (log, log.with_suffix(".head"))} == {65534}


def test_several_lines_are_one_append_and_chain_as_if_each_had_been_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        append_line(tmp_path / name / "x.jsonl", {"n": 0})
    append_lines(tmp_path / "a" / "x.jsonl", [{"n": 1}, {"n": 2}])
    for number in (1, 2):
        append_line(tmp_path / "b" / "x.jsonl", {"n": number})
    assert (tmp_path / "a" / "x.jsonl").read_bytes() == (tmp_path / "b" / "x.jsonl").read_bytes()
    assert read_head(tmp_path / "a" / "x.jsonl") == read_head(tmp_path / "b" / "x.jsonl")


def test_a_log_that_was_begun_is_empty_and_whole_and_one_with_lines_stays(tmp_path: Path) -> None:
    log = tmp_path / "x.jsonl"
    begin_log(log)
    chain = check_chain(log)
    assert (chain.lines, chain.broken, log.read_bytes()) == (0, None, b"")
    append_line(log, {"n": 1})
    before = log.read_bytes()
    begin_log(log)
    assert log.read_bytes() == before
