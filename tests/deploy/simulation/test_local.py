"""What a simulation refuses, and where its centers lie."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from deploy.simulation import local
from deploy.simulation.local import (
    at_real_centers,
    center_home,
    find_device,
    folders_of,
    make_trainer,
    share_folder,
    simulate,
)
from protocol.errors import StudyError
from protocol.messages.instruction import Part
from protocol.messages.settings import Split
from server.study.events import Event, RoundStarted
from server.study.file import read_study
from tests.support.light_study import Light, LightCenter, light, run_untracked
from tests.support.small_study import STUDY, write_study
from tests.support.withdrawn_study import LATE_COMER, leave


def attempt(folder: Path, **changes: object) -> None:
    settings = {"engine": "in-process", "device": "cpu", "resume": False, "console": Console(quiet=True)}
    simulate(write_study(folder / "study.toml"), folder, folder / "out", **{**settings, **changes})  # type: ignore[arg-type]


def test_an_unknown_engine_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"unknown engine 'spark'; known: \['in-process', 'ray'\]"):
        attempt(tmp_path, engine="spark")


def test_a_folder_with_a_study_needs_resume(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.toml").write_text(STUDY)
    with pytest.raises(StudyError, match="holds a study already; continue it with --resume"):
        attempt(tmp_path)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (find_device("auto"), find_device("cpu")) == ("cpu", "cpu")
    for name in ("cuda", "tpu"):
        with pytest.raises(StudyError, match=f"device '{name}' is not on this machine"):
            find_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (find_device("auto"), find_device("cuda")) == ("cuda", "cuda")


def test_a_center_reads_its_folders_and_keeps_its_own_beside_the_others(tmp_path: Path) -> None:
    text = STUDY.replace("[centers.center-a]", '[centers.center-a]\nfolders = ["left", "right"]')
    study = read_study(write_study(tmp_path / "study.toml", text))
    trainer = make_trainer(study, tmp_path / "data", tmp_path / "out", "cpu", "center-a")
    assert trainer.center == "center-a"
    assert folders_of(study, Path("data"), "center-a") == [Path("data/left"), Path("data/right")]
    assert folders_of(study, Path("data"), "center-d") == [Path("data/center-d")]
    assert trainer.home == center_home(tmp_path / "out", "center-a") == tmp_path / "out" / "centers" / "center-a"


def test_a_simulation_says_what_real_centers_would_withhold() -> None:
    """Eight cases split 5/1/2 leave a simulation whole, and a real center at its default not."""
    enough: dict[Part, int] = {"train": 5, "validation": 5, "test": 5}
    few: dict[Part, int] = {"train": 5, "validation": 1, "test": 2}
    told = at_real_centers(Split(), {"small": few, "large": enough})
    assert "a simulation withholds nothing" in told
    assert "send from 5 on" in told
    assert "small (train 5, validation 1, test 2): validation scores" in told
    assert "large" not in told
    assert at_real_centers(Split(), {"large": enough}) == ""
    assert "one, other (train 5, validation 1, test 2): validation" in at_real_centers(
        Split(), {"one": few, "other": few}
    )


def test_a_shared_folder_is_found_again_when_all_of_it_moves(tmp_path: Path) -> None:
    (tmp_path / "out" / "cache").mkdir(parents=True)
    (tmp_path / "out" / "cache" / "case").write_text("prepared")
    for _ in range(2):
        share_folder(tmp_path / "out" / "runs" / "one" / "cache", tmp_path / "out" / "cache")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "runs" / "one" / "cache" / "case").read_text() == "prepared"


class CheckedCenter(LightCenter):
    """A light center in the place of a trainer; it has no cases that could be looked at."""

    def check_cases(self, _settings: object) -> dict[str, Part]:
        """All are as they should be."""
        return {"one": "train"}


def light_in_its_first_stage(folder: Path) -> Light:
    """A study that ended before its center c came."""

    def end(event: Event) -> None:
        if isinstance(event, RoundStarted) and event.stage.name == "stage-2":
            raise KeyboardInterrupt

    found = light(folder, LATE_COMER, "abc")
    with pytest.raises(KeyboardInterrupt):
        found.run(end)
    return found


def test_a_center_that_withdrew_before_it_trained_is_made_no_trainer_and_trains_in_no_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, made = light_in_its_first_stage(tmp_path), list[str]()
    assert leave(study, "c").first_stage == ""

    def make(_study: object, _data: Path, _out: Path, _device: str, center: str, **_: object) -> CheckedCenter:
        made.append(center)
        return CheckedCenter(center, tmp_path / "simulated" / center)

    monkeypatch.setattr(local, "make_trainer", make)
    monkeypatch.setattr(local, "prepare", lambda file, *_: read_study(file))
    monkeypatch.setattr(local, "run_study", run_untracked)
    monkeypatch.setattr(local, "write_center_report", lambda *_, **__: None)
    quiet = Console(quiet=True)
    file = study.directory.study_file
    simulate(file, tmp_path, study.root, engine="in-process", device="cpu", resume=True, console=quiet)
    assert made == ["a", "b"]
    assert [error for _, center, error in study.errors if center == "c"] == ["revoked", "revoked"]
    assert study.state.server_round == 6
