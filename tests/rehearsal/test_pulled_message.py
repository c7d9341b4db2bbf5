import os
import signal
import subprocess
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.study.directory import StudyDirectory
from tests.rehearsal.network import RehearsalError
from tests.rehearsal.pulled_message import freeze_at_message, is_message

LINE = "2026-12-01T03:02:06+00:00 10.0.0.2 POST /v1/fleet/pull-messages 200 in=853 out=770 0.713\n"


def test_an_answer_with_a_message_is_known_by_its_length_and_its_center() -> None:
    assert is_message(LINE, "10.0.0.2")
    assert not is_message(LINE, "10.0.0.22")
    assert not is_message(LINE.replace("out=770", "out=150"), "10.0.0.2")
    assert not is_message(LINE.replace("pull-messages", "push-messages"), "10.0.0.2")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "access.log"
    path.parent.mkdir()
    path.write_text(LINE)
    return path


def consortium(log: Path, pid: int) -> SimpleNamespace:
    network = SimpleNamespace(address=lambda _center: "10.0.0.2")
    directory = StudyDirectory(log.parents[1])
    return SimpleNamespace(directory=directory, network=network, processes=lambda *_: [pid])


def test_a_node_stands_still_from_its_message_on_until_the_block_ends(log: Path) -> None:
    def write_until(over: threading.Event) -> None:
        while not over.wait(0.01):
            with log.open("a") as lines:
                lines.write(LINE)

    def state() -> str:
        return Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[0]

    node, over = subprocess.Popen(["sleep", "60"]), threading.Event()
    writer = threading.Thread(target=write_until, args=(over,))
    writer.start()
    try:
        with freeze_at_message(consortium(log, node.pid), "center-a", within_s=20):  # type: ignore[arg-type]
            os.waitid(os.P_PID, node.pid, os.WSTOPPED | os.WNOWAIT)
            assert state() == "T"
        os.waitid(os.P_PID, node.pid, os.WCONTINUED)
        assert state() != "T"
    finally:
        over.set()
        writer.join()
        node.send_signal(signal.SIGKILL)
        node.wait()


@pytest.mark.parametrize(("passing", "is_found"), [(1, True), (2, False)])
def test_messages_are_let_pass(log: Path, monkeypatch: pytest.MonkeyPatch, passing: int, is_found: bool) -> None:
    """Two come, and one for another center, once the log has been read to its end."""
    left = [LINE + LINE.replace("10.0.0.2 ", "10.0.0.3 ") + LINE]

    def write(_: float) -> None:
        with log.open("a") as lines:
            lines.write(left.pop() if left else "")

    monkeypatch.setattr("tests.rehearsal.pulled_message.time.sleep", write)
    node = subprocess.Popen(["sleep", "60"])
    held = freeze_at_message(consortium(log, node.pid), "center-a", 20 if is_found else 0.5, passing)  # type: ignore[arg-type]
    try:
        with nullcontext() if is_found else pytest.raises(RehearsalError), held:
            assert is_found
    finally:
        node.kill()
        node.wait()


def test_a_message_of_before_is_none(log: Path) -> None:
    began = time.monotonic()
    with (
        pytest.raises(RehearsalError, match=r"no message to 10.0.0.2"),
        freeze_at_message(consortium(log, 1), "center-a", within_s=0.05),  # type: ignore[arg-type]
    ):
        pass
    assert time.monotonic() > began
