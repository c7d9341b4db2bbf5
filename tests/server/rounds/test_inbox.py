"""What arrived in a round is on disk, whole, and read back one center at a time in the order of their names."""

import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from protocol.errors import StorageError
from protocol.messages.payload import Payload
from server.rounds.inbox import Inbox

PAYLOAD = Payload(
    center="hgj",
    backbone_hash="a" * 64,
    stage="adapt",
    server_round=3,
    tensors={"qkv#lora_b": np.array([[1, 2], [3, 4]], np.float32), "pet.weight": np.array(0.1, np.float32)},
    support={"peft": 12, "pet": 8},
    phase="lora_b",
    frozen_hash="f" * 64,
)


def of(center: str, **changes: Any) -> Payload:
    return replace(PAYLOAD, center=center, **changes)


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    """An empty inbox."""
    return Inbox(tmp_path / "inbox")


def test_payloads_come_in_the_order_of_their_centers(inbox: Inbox) -> None:
    for center in ("mda", "chum", "hgj", "Z-9"):
        inbox.put(of(center))
    assert inbox.centers("adapt", 3) == ("Z-9", "chum", "hgj", "mda")
    assert [payload.center for payload in inbox.payloads("adapt", 3)] == ["Z-9", "chum", "hgj", "mda"]


def test_every_field_comes_back(inbox: Inbox) -> None:
    inbox.put(PAYLOAD)
    (found,) = inbox.payloads("adapt", 3)
    assert replace(found, tensors={}) == replace(PAYLOAD, tensors={})


@given(
    tensors=st.dictionaries(
        st.text(min_size=1, max_size=9).filter(lambda key: key != "__metadata__"),
        arrays(np.float32, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)),
        max_size=3,
    )
)
def test_tensors_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, np.ndarray[Any, Any]]
) -> None:
    """NaN and the sign of zero too: whether values are usable is the business of validation."""
    inbox = Inbox(tmp_path_factory.mktemp("inbox"))
    inbox.put(of("hgj", tensors=tensors))
    (found,) = inbox.payloads("adapt", 3)
    exactly = {key: (array.shape, array.tobytes()) for key, array in found.tensors.items()}
    assert exactly == {key: (array.shape, array.tobytes()) for key, array in tensors.items()}


def test_rounds_and_stages_are_kept_apart(inbox: Inbox) -> None:
    inbox.put(of("a"))
    inbox.put(of("b", server_round=4))
    inbox.put(of("c", stage="../arrive"))
    assert inbox.centers("adapt", 3) == ("a",)
    assert inbox.centers("adapt", 4) == ("b",)
    assert inbox.centers("../arrive", 3) == ("c",)
    assert inbox.centers("adapt", 5) == ()
    assert all(path.is_relative_to(inbox.root) for path in files(inbox.root.parent))


def test_the_last_payload_of_a_center_counts(inbox: Inbox) -> None:
    inbox.put(of("a", support={"peft": 1}))
    inbox.put(of("a", support={"peft": 2}))
    assert [payload.support for payload in inbox.payloads("adapt", 3)] == [{"peft": 2}]


def test_another_coordinator_finds_what_arrived(inbox: Inbox) -> None:
    inbox.put(of("a"))
    assert Inbox(inbox.root).centers("adapt", 3) == ("a",)


@pytest.mark.parametrize("center", ["", "../a", "a/b", ".a", "x" * 65])
def test_a_name_that_is_none_is_refused(inbox: Inbox, center: str) -> None:
    with pytest.raises(StorageError, match="is not a center's name"):
        inbox.put(of(center))
    with pytest.raises(StorageError, match="is not a center's name"):
        inbox.put_aside(of(center), "late")
    assert files(inbox.root) == []


@pytest.mark.parametrize("position", [40, -1])
def test_a_damaged_file_is_named(inbox: Inbox, position: int) -> None:
    """One bit, in the header's text or in the last tensor's last byte."""
    inbox.put(of("a"))
    (path,) = files(inbox.root)
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"payload .*a\.safetensors is damaged"):
        list(inbox.payloads("adapt", 3))


def test_a_changed_support_is_noticed(inbox: Inbox) -> None:
    inbox.put(of("a"))
    (path,) = files(inbox.root)
    data = path.read_bytes()
    assert data.count(b":12") == 1
    path.write_bytes(data.replace(b":12", b":99"))
    with pytest.raises(StorageError, match="content does not match its SHA-256"):
        list(inbox.payloads("adapt", 3))


def test_a_cut_file_is_named(inbox: Inbox) -> None:
    inbox.put(of("a"))
    (path,) = files(inbox.root)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StorageError, match="is damaged"):
        list(inbox.payloads("adapt", 3))


def test_a_payload_under_another_name_is_refused(inbox: Inbox) -> None:
    inbox.put(of("a"))
    (path,) = files(inbox.root)
    path.rename(path.with_name("b.safetensors"))
    with pytest.raises(StorageError, match=r"holds center, stage and round \('a', 'adapt', 3\), expected \('b'"):
        list(inbox.payloads("adapt", 3))


def test_damage_stops_nobody_before_it(inbox: Inbox) -> None:
    """Each file is read when its turn comes."""
    inbox.put(of("a"))
    inbox.put(of("b"))
    files(inbox.root)[-1].write_bytes(b"")
    payloads = inbox.payloads("adapt", 3)
    assert next(payloads).center == "a"
    with pytest.raises(StorageError, match=r"b\.safetensors"):
        next(payloads)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.server.rounds.test_inbox import of
from server.rounds.inbox import Inbox

written = 0
fsync = os.fsync
def die_at_the_fourth(handle):
    global written
    written += 1
    fsync(handle)
    if written == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = die_at_the_fourth
inbox = Inbox(Path(sys.argv[1]))
for center in ("a", "b", "c"):
    inbox.put(of(center))
"""


@pytest.mark.parametrize(
    ("flushes", "whole"), [(1, ()), (2, ("a",)), (3, ("a",)), (4, ("a", "b")), (6, ("a", "b", "c"))]
)
def test_a_killed_coordinator_leaves_whole_files_only(
    tmp_path: Path, repository: Path, flushes: int, whole: tuple[str, ...]
) -> None:
    """A write flushes the file, renames it, flushes the folder: an odd flush comes before a name is there."""
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(flushes)]
    result = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(repository)}, check=False)
    assert result.returncode == -9
    assert len(list(tmp_path.rglob(".*.part"))) == flushes % 2
    inbox = Inbox(tmp_path)
    assert list(tmp_path.rglob(".*.part")) == []
    assert [payload.center for payload in inbox.payloads("adapt", 3)] == list(whole)


def test_one_payload_is_in_memory_at_a_time(inbox: Inbox) -> None:
    """Of 20 payloads read in a row, the one before is gone when the next is here."""
    for number in range(20):
        inbox.put(of(f"c{number:02d}"))
    alive: list[weakref.ref[Any]] = []
    most = 0
    for payload in inbox.payloads("adapt", 3):
        alive.append(weakref.ref(payload.tensors["qkv#lora_b"]))
        del payload
        most = max(most, sum(1 for reference in alive if reference() is not None))
    assert (len(alive), most) == (20, 0)


def test_clear_removes_one_round(inbox: Inbox) -> None:
    inbox.put(of("a"))
    inbox.put(of("a", server_round=4))
    inbox.clear("adapt", 3)
    assert (inbox.centers("adapt", 3), inbox.centers("adapt", 4)) == ((), ("a",))
    inbox.clear("adapt", 3)


def test_what_cannot_be_removed_is_named(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    inbox.put(of("a"))
    monkeypatch.setattr("server.rounds.inbox.shutil.rmtree", refuse)
    with pytest.raises(StorageError, match=r"cannot remove .* \(Permission denied\)"):
        inbox.clear("adapt", 3)


def test_late_payloads_are_put_aside_with_their_reason(inbox: Inbox) -> None:
    """They never enter the round, whatever round they say they are of."""
    inbox.put_aside(of("a"), "arrived after the deadline")
    inbox.put_aside(of("a", server_round=10**6), "arrived after the deadline")
    assert inbox.centers("adapt", 3) == ()
    assert len(files(inbox.root / "late")) == 2
    for path in files(inbox.root / "late"):
        with safetensors.safe_open(path, framework="np") as file:
            assert "arrived after the deadline" in file.metadata()["payload"]
            assert file.get_tensor("qkv#lora_b").tolist() == [[1, 2], [3, 4]]


def test_opening_an_inbox_makes_no_folder(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "none")
    assert inbox.centers("adapt", 1) == ()
    assert list(inbox.payloads("adapt", 1)) == []
    inbox.clear("adapt", 1)
    assert not inbox.root.exists()
