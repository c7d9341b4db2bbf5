"""Two processes never write one study."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from protocol.errors import StudyError
from server.study.lock import StudyInUseError, hold_study

HOLDER = """
import sys, time
from pathlib import Path
from server.study.lock import hold_study
with hold_study(Path(sys.argv[1])):
    sys.stdout.write("held\\n"); sys.stdout.flush()
    time.sleep(600)
"""


def test_a_second_process_is_refused_with_the_id_of_the_first_and_a_killed_one_holds_nothing(
    tmp_path: Path, repository: Path
) -> None:
    lock = tmp_path / "study.lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            with pytest.raises(StudyInUseError, match=rf"is run by process {holder.pid}, and still after 0.1 s"):
                hold_study(lock, patience_s=0.1).__enter__()
        finally:
            os.kill(holder.pid, signal.SIGKILL)
    with hold_study(lock, patience_s=0):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_one_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    lock, held, ended = tmp_path / "study.lock", threading.Event(), threading.Event()

    def hold() -> None:
        with hold_study(lock):
            held.set()
            time.sleep(0.5)
            ended.set()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with hold_study(lock, patience_s=30):
        assert ended.is_set()
    thread.join()


def test_a_folder_that_is_not_there_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not exist; prepare the study first"):
        hold_study(tmp_path / "none" / "study.lock").__enter__()
