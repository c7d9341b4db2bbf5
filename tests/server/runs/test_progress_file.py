"""`progress.json` says where a run is and how it ended; nothing depends on it."""

import json
import logging
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import NoVoiceError, QuorumError
from server.grid.center_grid import CenterGrid
from server.runs import progress_file
from server.runs.progress_file import ProgressFile
from server.study.events import (
    CenterAnswered,
    CenterHeard,
    CentersAsked,
    Event,
    Extended,
    LateFound,
    Resumed,
    RoundKept,
    RoundStarted,
    tell_all,
)
from server.study.file import read_study
from server.study.history import LateRecord, RoundRecord
from server.study.lock import StudyInUseError, hold_study
from tests.support.extended_study import FROM_THE_BEGINNING
from tests.support.light_study import STUDY, Light, light, run_untracked
from tests.support.segmentation_scores import dice_score
from tests.support.small_study import write_study
from tests.support.study_text import centers_text, stage_text

RECORD = RoundRecord("adapt", 1, "a", loss=0.5, seconds=2.0, validation={"ct": dice_score(3, 0.25, None)})


@pytest.fixture
def found(tmp_path: Path) -> Light:
    return light(tmp_path)


def progress(found: Light) -> ProgressFile:
    return ProgressFile(found.directory, read_study(found.directory.study_file), "17")


def read(found: Light) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(found.directory.progress.read_text())
    return content


class Looking:
    """Reads the file, as another process would, at the events of a round."""

    def __init__(self, found: Light) -> None:
        self.found = found
        self.seen: list[tuple[int, int, tuple[str, ...]]] = []

    def listen(self, event: Event) -> None:
        if isinstance(event, RoundStarted | CenterAnswered | RoundKept):
            now = read(self.found)
            self.seen.append((now["stage_round"], now["server_round"], tuple(now["waiting_for"])))


def test_the_file_follows_a_run_from_its_first_round_to_its_end(found: Light) -> None:
    with progress(found) as written:
        looking = Looking(found)
        found.run(tell_all(written.listen, looking.listen))
    assert looking.seen[:5] == [(1, 0, ()), (1, 0, ("b",)), (1, 0, ()), (1, 1, ()), (2, 1, ())]
    end = read(found)
    assert [end[key] for key in ("state", "run_id", "stage", "server_round", "rounds")] == [
        "complete",
        "17",
        "adapt",
        3,
        3,
    ]
    heard = end["centers"]["b"]
    assert [heard[key] for key in ("server_round", "error", "loss")] == [3, "", 0.5]
    assert (heard["metric"], heard["scores"]) == ("dice", {"ct": 0.5})


def test_the_file_says_who_is_waited_for_in_every_phase_what_for_and_since_when(tmp_path: Path) -> None:
    """Of two centers and one that is revoked, up to a gate that nobody can judge."""
    text = STUDY.partition("\n[centers.a]")[0].replace("gate = false\n", "")
    found = light(tmp_path, text + centers_text("abc") + stage_text("adapt", "abc", rounds=1))
    seen: list[tuple[str, list[str], bool]] = []

    def look(event: Event) -> None:
        if isinstance(event, CentersAsked) and event.centers:
            now = read(found)
            seen.append((now["waiting_kind"], sorted(now["waiting_for"]), now["waiting_since"] is not None))

    with pytest.raises(NoVoiceError), progress(found) as written:
        run_untracked(
            CenterGrid(found.grid, poll_s=0.01),
            found.root,
            listen=tell_all(written.listen, look),
            turned_away=lambda: {"c": "revoked"},
        )
    assert [kind for kind, _, _ in seen] == ["register", "evaluate", "train", "compare"]
    assert all(who == ["a", "b"] and since for _, who, since in seen)
    assert (read(found)["waiting_for"], read(found)["waiting_since"]) == ([], None)


def test_who_was_heard_of_anything_is_waited_for_no_more(found: Light) -> None:
    written = progress(found)
    written.listen(CentersAsked("compare", ("a", "b")))
    written.listen(CenterHeard("compare", "a"))
    assert (read(found)["waiting_for"], read(found)["waiting_kind"]) == (["b"], "compare")
    written.listen(CentersAsked("compare", ()))
    assert (read(found)["waiting_for"], read(found)["waiting_kind"]) == ([], "")


def test_what_is_not_a_number_is_null(found: Light) -> None:
    record = RoundRecord("adapt", 1, "a", loss=math.nan, validation={"ct": dice_score(3, None, None)})
    progress(found).listen(CenterAnswered(record))
    assert (read(found)["centers"]["a"]["loss"], read(found)["centers"]["a"]["scores"]) == (None, {"ct": None})


def test_a_failure_says_its_code_and_reason(tmp_path: Path) -> None:
    found = light(tmp_path, STUDY.replace("quorum = 1", "quorum = 1\ndeadline_s = 0.1"))
    found.grid.away |= {"a", "b"}
    with pytest.raises(QuorumError), progress(found) as written:
        found.run(written.listen)
    end = read(found)
    assert (end["state"], end["code"]) == ("failed", "quorum")
    assert "missing: ['a', 'b']" in end["reason"]


def test_the_text_of_an_unforeseen_error_stays_out(found: Light) -> None:
    with pytest.raises(ValueError, match="DOE"), progress(found):
        raise ValueError("patient DOE^JOHN")
    assert (read(found)["state"], read(found)["code"], read(found)["reason"]) == ("failed", "internal", "ValueError")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stopped_run_is_interrupted_and_stays_so(found: Light, stop: type[BaseException]) -> None:
    def stopped() -> None:
        with progress(found) as written:
            written.interrupt()
            raise stop

    with pytest.raises(stop):
        stopped()
    assert (read(found)["state"], read(found)["reason"]) == ("interrupted", "stopped")


def test_flowers_exit_at_the_end_of_a_complete_run_changes_nothing(found: Light) -> None:
    with progress(found) as written:
        written.listen(Resumed(3))
    written.interrupt()
    assert read(found)["state"] == "complete"


def test_a_run_that_may_not_start_leaves_the_file_of_the_other_alone(found: Light) -> None:
    (stage,) = read_study(found.directory.study_file).stages
    progress(found).listen(RoundStarted(stage, 1, ("a",)))
    before = read(found)
    with hold_study(found.directory.lock), pytest.raises(StudyInUseError), progress(found):
        hold_study(found.directory.lock, patience_s=0).__enter__()
    assert read(found) == before


def test_a_later_run_keeps_what_was_heard_of_the_centers(found: Light) -> None:
    progress(found).listen(CenterAnswered(RECORD))
    progress(found).listen(Resumed(1))
    assert read(found)["centers"]["a"]["scores"] == {"ct": 0.25}


def test_a_damaged_file_of_an_earlier_run_is_replaced(found: Light) -> None:
    found.directory.progress.write_text("{")
    progress(found).listen(Resumed(1))
    assert (read(found)["server_round"], read(found)["centers"]) == (1, {})


def test_a_disk_that_refuses_stops_nothing_and_is_said_once(found: Light, caplog: pytest.LogCaptureFixture) -> None:
    found.directory.progress.mkdir()
    with caplog.at_level(logging.WARNING), progress(found) as written:
        written.listen(Resumed(0))
        written.listen(LateFound(LateRecord("adapt", 1, "a", 2, "set-aside")))
    assert caplog.text.count("the run goes on without its progress file") == 1


STOPPED = """
import sys, threading, time
from pathlib import Path
from flwr.supercore.exit import register_signal_handlers
from flwr.supercore.telemetry import EventType
from server.app import run_here
from server.study.directory import StudyDirectory
from tests.support.light_study import NOWHERE, light

found = light(Path(sys.argv[1]))
def say_when_round_2_is_under_way(instruction):
    if instruction.kind == "train" and instruction.server_round == 2:
        sys.stdout.write("round 2\\n"); sys.stdout.flush()
        time.sleep(60)
found.centers["a"].before = say_when_round_2_is_under_way
register_signal_handlers(EventType.FLWR_SERVERAPP_RUN_LEAVE, exit_handlers=[lambda: time.sleep(60)])
run_here(found.grid, StudyDirectory(found.root), "17", NOWHERE)
"""


@pytest.mark.slow
def test_a_run_that_flower_stops_says_so_and_can_be_resumed(tmp_path: Path, repository: Path) -> None:
    """SIGTERM under Flower's own handlers, one of which hangs until Flower ends the process after five seconds."""
    command = [sys.executable, "-c", STOPPED, str(tmp_path)]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith("round 2\n"):
                break
        os.kill(process.pid, signal.SIGTERM)
    assert process.returncode == 0, "Flower's exit code of a graceful stop"
    found = light(tmp_path)
    assert (read(found)["state"], read(found)["server_round"]) == ("interrupted", 1)
    assert found.state.server_round == 1
    found.run()
    assert [error for *_, error in found.errors] == [""] * 6


def test_what_a_center_holds_back_stands_by_name_and_never_as_a_score(found: Light) -> None:
    """Dice stays of CT, which is left with its distance; of PET nothing is left; CT and PET was not scored."""
    suppressed = ("loss", "ct/dice", "pet/dice", "pet/hd95_mm")
    record = RoundRecord("adapt", 1, "a", validation={"ct": dice_score(3, None, 4.0)}, suppressed=suppressed)
    progress(found).listen(CenterAnswered(record))
    heard = read(found)["centers"]["a"]
    assert (heard["loss"], heard["scores"], heard["suppressed"]) == (None, {}, list(suppressed))


def test_the_rounds_of_a_study_that_was_extended_are_counted_anew(found: Light) -> None:
    longer = read_study(write_study(found.root.parent / "longer.toml", FROM_THE_BEGINNING))
    with progress(found) as file:
        file.listen(Extended(longer))
        assert read(found)["rounds"] == 5


def test_a_round_of_a_thousand_centers_does_not_write_a_row_of_each_for_each(
    found: Light, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`EACH` answers are written as they come; the others together, a second apart."""
    written: list[int] = []
    monkeypatch.setattr(progress_file, "write_state", lambda _, state: written.append(len(state.centers)))
    file = progress(found)
    names = [f"c{number}" for number in range(1000)]
    file.listen(CentersAsked("train", tuple(names)))
    for name in names:
        file.listen(CenterHeard("train", name))
        file.listen(CenterAnswered(replace(RECORD, center=name)))
    file.listen(RoundKept(1))
    assert written[-1] == 1000
    assert sum(written) < 50 * 1000
