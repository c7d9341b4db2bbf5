"""A study interrupted at any moment ends, once resumed, with the bank of an uninterrupted one of the same seed."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest
from mlflow.tracking import MlflowClient

from protocol.errors import StudyError
from server.rounds.study_run import StudyRun
from server.study import checkpoint as checkpoints
from server.study.directory import StudyDirectory
from server.study.events import CenterAnswered, Event, RoundStarted, ScoringStarted, StageScored
from strategies.bank.bank import AdapterBank
from tests.support.small_study import STUDY, run, write_study

pytestmark = pytest.mark.usefixtures("no_report")
STOPS = ((CenterAnswered, 1), (CenterAnswered, 5), (RoundStarted, 2), (ScoringStarted, 1), (StageScored, 2))
"""Where a study stops, counted from where it went on: in round 1, after the last answer of round 3, before round 4 is
sent, before the second stage is scored, and with the last stage scored."""


def hashes(directory: StudyDirectory) -> dict[str, str]:
    return {entry.reference: entry.sha256 + entry.backbone for entry in AdapterBank(directory.bank).entries()}


class StopAt:
    """In the place of the live display: interrupts a run when an event of a kind comes for the n-th time."""

    def __init__(self, kind: type, count: int) -> None:
        self.kind, self.left = kind, count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def listen(self, event: Event) -> None:
        if isinstance(event, self.kind):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def test_a_study_interrupted_at_five_moments_ends_with_the_same_bank(
    finished: StudyDirectory, cohort: Path, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One study for all moments: an interruption that changed anything would be seen at the end, whichever it was."""
    interrupted, rounds_kept = StudyDirectory(tmp_path / "out"), []
    for stop in STOPS:
        with monkeypatch.context() as patch:
            patch.setattr("deploy.simulation.local.Display", lambda *_, stop=stop: StopAt(*stop))
            with pytest.raises(KeyboardInterrupt):
                run(study_file, cohort, interrupted.root, resume=stop != STOPS[0])
        assert json.loads(interrupted.result.read_text())["status"] == "interrupted"
        rounds_kept.append(completed_rounds(interrupted.root))
    assert rounds_kept == [0, 2, 3, 4, 5]
    resumed = run(study_file, cohort, interrupted.root, resume=True)
    assert hashes(resumed) == hashes(finished)
    assert steps_in_mlflow(resumed) == steps_in_mlflow(finished)
    assert json.loads(resumed.result.read_text())["matrices"] == json.loads(finished.result.read_text())["matrices"]


def steps_in_mlflow(directory: StudyDirectory) -> dict[str, list[int]]:
    """Center -> the rounds whose loss stands in its run."""
    client = MlflowClient(f"sqlite:///{directory.root / 'mlflow.db'}")
    experiments = [found.experiment_id for found in client.search_experiments() if found.name.startswith("small/")]
    runs = client.search_runs(experiments, "tags.center != ''")
    assert {run.info.run_name for run in runs} == {"center-a", "center-d"}
    return {
        str(run.info.run_name): [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")]
        for run in runs
    }


def test_a_crash_between_bank_and_checkpoint_adds_no_version_twice(
    finished: StudyDirectory, cohort: Path, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saves: start, two rounds, gate, observation, scoring and, with its entries in the bank, on leaving the stage."""
    saves = {"count": 0}
    save = StudyRun._save

    def crash(self: StudyRun) -> None:
        saves["count"] += 1
        if saves["count"] == 7:
            raise KeyboardInterrupt
        save(self)

    with monkeypatch.context() as patch:
        patch.setattr(StudyRun, "_save", crash)
        with pytest.raises(KeyboardInterrupt):
            run(study_file, cohort, tmp_path / "out")
    assert AdapterBank(tmp_path / "out" / "bank").names() == ["shared"]
    assert hashes(run(study_file, cohort, tmp_path / "out", resume=True)) == hashes(finished)


@pytest.mark.slow
def test_a_killed_process_can_be_resumed(
    finished: StudyDirectory, cohort: Path, study_file: Path, tmp_path: Path, repository: Path
) -> None:
    """SIGKILL as soon as a checkpoint with a completed round is on disk: nothing gets to clean up."""
    code = (
        "import sys; from pathlib import Path; from tests.support.small_study import run; run(*map(Path, sys.argv[1:]))"
    )
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", code, study_file, cohort, out], cwd=repository)
    try:
        ends_at = time.monotonic() + 120
        while completed_rounds(out) < 1:
            assert process.poll() is None, "the study ended before it could be killed"
            assert time.monotonic() < ends_at, "no round was completed"
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert hashes(run(study_file, cohort, out, resume=True)) == hashes(finished)


def completed_rounds(out: Path) -> int:
    state = checkpoints.load(out / "checkpoint.safetensors")
    return 0 if state is None else state.server_round


def test_a_finished_study_resumed_changes_nothing(
    finished: StudyDirectory, cohort: Path, study_file: Path, tmp_path: Path
) -> None:
    """On a copy: other tests look at the pages of the shared one, which are written again, and empty in this file."""
    copied = StudyDirectory(shutil.copytree(finished.root, tmp_path / "out", symlinks=True))
    state = checkpoints.load(finished.checkpoint)
    run(study_file, cohort, copied.root, resume=True)
    after = checkpoints.load(copied.checkpoint)
    assert hashes(copied) == hashes(finished)
    assert state is not None
    assert after is not None
    assert after.history == state.history


def test_a_study_directory_is_not_overwritten(finished: StudyDirectory, cohort: Path, study_file: Path) -> None:
    with pytest.raises(StudyError, match=r"holds a study already; continue it with --resume"):
        run(study_file, cohort, finished.root)


def test_another_study_file_cannot_resume(finished: StudyDirectory, cohort: Path, tmp_path: Path) -> None:
    other = write_study(tmp_path / "other.toml", STUDY.replace("seed = 5", "seed = 6"))
    with pytest.raises(StudyError, match="holds another study"):
        run(other, cohort, finished.root, resume=True)
