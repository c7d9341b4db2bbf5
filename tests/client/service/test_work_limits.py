"""What is too much for one instruction is refused before anything is built, read or resampled."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.data.manifest import Case
from client.data.volume import Grid
from client.home.agreement import ExcessiveError
from client.home.limits import DEFAULT_LIMITS, WorkLimits
from client.learning.cancellation import never_cancelled
from client.service import work_limits
from client.service.trainer import Trainer
from client.service.work_limits import (
    case_findings,
    check_bearable,
    end_in_time,
    main_memory_bytes,
    memory_bytes,
    prepared_voxels,
)
from protocol.errors import CancelledError
from protocol.messages.instruction import Instruction
from protocol.messages.labels import Classes, Labels
from protocol.messages.settings import Preprocessing
from server.study.file import Study, read_study
from tests.support.one_center import asked

ONE_GIB = WorkLimits(memory_gib=1)


@pytest.fixture(scope="module")
def study(study_file: Path) -> Study:
    return read_study(study_file)


def altered(instruction: Instruction, part: str, **values: Any) -> Instruction:
    """The instruction with other values in one table of its settings, or in `training`."""
    if part == "training":
        assert instruction.training is not None
        return replace(instruction, training=instruction.training.model_copy(update=values))
    table = getattr(instruction.settings, part) if part else None
    update = {part: table.model_copy(update=values)} if table is not None else values
    return replace(instruction, settings=instruction.settings.model_copy(update=update))


def scan(name: str, shape_zyx: tuple[int, int, int], spacing_mm: float) -> Case:
    return _case(name, {"ct": Grid(shape_zyx, (spacing_mm,) * 3)})


def _case(name: str, grids: Mapping[Any, Grid]) -> Case:
    return Case(name, name, "cases", {}, grids, {})


HOSTILE: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "batch": ("training", {"batch_size": 3000}, "a batch of 3000, this center does at most 512; --maximum-batch"),
    "crop": ("preprocessing", {"crop_zyx": (2048, 2048, 2048)}, "a step of 2 crop.* GiB or more.*--maximum-memory"),
    "a spacing of a hair": ("preprocessing", {"spacing_zyx_mm": (0.01, 1, 1)}, "a grid of 0.01 mm, expected at least"),
    "rank": ("adapter", {"rank": 10**9}, r"adapter.rank of 1e\+09, expected at most 65536"),
    "own rank": ("", {"center_rank": 10**7}, "center_rank of"),
    "sketch rank": ("", {"sketch_rank": 10**7}, "sketch_rank of"),
    "width": ("model", {"options": {"width": 10**9}}, "model option 'width' of"),
    "a trillion values": ("model", {"options": {"width": 60_000, "heads": 1}}, "has more than 67108864 values"),
    "depth": ("model", {"options": {"depth": 60_000}}, "has more than 67108864 values or 50000 tensors"),
    "a long list": ("model", {"options": {"depths": (1,) * 10**6}}, "model option 'depths' of"),
    "a negative giant": ("model", {"options": {"width": -(10**12)}}, "model option 'width' of"),
    "tasks": ("", {"tasks": ("segmentation",) * 1000}, "1000 tasks, of which 1 differ; expected each once"),
    "classes": (
        "",
        {"labels": Labels(classes=Classes(column="c", values=tuple(map(str, range(20_000)))))},
        "20000 outputs for a case",
    ),
}


@pytest.mark.parametrize(("part", "values", "message"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_too_much_is_refused_by_name(study: Study, part: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ExcessiveError, match=f"center 'a': .* asks for too much; nothing was done: .*{message}"):
        check_bearable(altered(asked(study), part, **values), "a", ONE_GIB, "cpu")


@pytest.mark.parametrize("kind", ["register", "train", "evaluate", "compare", "observe"])
def test_an_honest_instruction_passes(study: Study, kind: Any) -> None:
    check_bearable(asked(study, kind), "a", DEFAULT_LIMITS, "cpu")


def test_statistics_are_asked_for_once(study: Study) -> None:
    many = replace(asked(study, "observe"), statistics=("gram",) * 100_000)
    with pytest.raises(ExcessiveError, match="100000 statistics, of which 1 differ"):
        check_bearable(many, "a", ONE_GIB, "cpu")


def test_more_tensors_than_any_network_has_are_refused(study: Study) -> None:
    nothing = np.zeros(0, np.float32)
    many = replace(asked(study), reference={str(place): nothing for place in range(50_001)})
    with pytest.raises(ExcessiveError, match="50001 reference, expected at most 50000"):
        check_bearable(many, "a", ONE_GIB, "cpu")


def test_a_sketch_of_more_rows_than_agreed_is_refused(study: Study) -> None:
    rows = study.settings.sketch_rank + 1
    asked_for = replace(asked(study), tensors={"m@gram": np.zeros((rows, 2), np.float32)})
    with pytest.raises(ExcessiveError, match=f"'m@gram' has {rows} rows, expected at most sketch_rank {rows - 1}"):
        check_bearable(asked_for, "a", ONE_GIB, "cpu")


def test_a_center_may_allow_more(study: Study) -> None:
    large = altered(asked(study), "training", batch_size=600)
    with pytest.raises(ExcessiveError, match="--maximum-batch"):
        check_bearable(large, "a", DEFAULT_LIMITS, "cpu")
    check_bearable(large, "a", WorkLimits(batch=600), "cpu")


def test_a_trainer_answers_with_a_code_and_has_done_nothing(cohort: Path, tmp_path: Path, study: Study) -> None:
    trainer = Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path)
    reply = trainer.perform(altered(asked(study), "training", batch_size=3000))
    assert (reply.error, reply.payload) == ("excessive", None)
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "manifest.json").exists()


def test_a_fine_grid_is_refused_before_a_case_is_resampled(cohort: Path, tmp_path: Path, study: Study) -> None:
    """At 0.11 mm a case of centimeters has some hundred million voxels, more than a thousandth of a GiB holds."""
    trainer = Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path, limits=WorkLimits(memory_gib=0.03))
    fine = altered(asked(study, "train"), "preprocessing", spacing_zyx_mm=(0.11, 0.11, 0.11))
    assert trainer.perform(fine).error == "excessive"
    assert not (tmp_path / "cache").exists()


def test_voxels_on_the_studys_grid_follow_from_the_extent() -> None:
    """100 x 200 x 200 voxels of 2 mm are 200 x 400 x 400 mm: at 4 x 4 x 1 mm 50 * 100 * 400."""
    case = scan("p", (100, 200, 200), 2)
    assert prepared_voxels(case, Preprocessing(spacing_zyx_mm=(4, 4, 1))) == 50 * 100 * 400
    assert prepared_voxels(_case("q", {}), Preprocessing()) == 0


def test_cases_that_memory_cannot_hold_are_found() -> None:
    """Two whole bodies of 500 x 500 x 1000 mm at 1 mm: 0.25 billion voxels of 9 bytes each, 4.19 GiB."""
    cases = [scan(name, (1000, 500, 500), 1) for name in "pq"]
    at_1_mm = Preprocessing(spacing_zyx_mm=(1, 1, 1))
    assert list(case_findings(cases, at_1_mm, 5 << 30)) == []
    (finding,) = case_findings(cases, at_1_mm, 4 << 30)
    assert finding == "2 case(s) on a grid of 1 x 1 x 1 mm need 4.19 GiB, there are 4; --maximum-memory allows more"


def test_a_crop_of_a_voxel_is_a_window_for_each() -> None:
    (finding,) = case_findings(
        [scan("p", (100, 100, 100), 1)], Preprocessing(spacing_zyx_mm=(1, 1, 1), crop_zyx=(1, 1, 1)), 1 << 40
    )
    assert finding == "case 'p' has 1e+06 windows of 1 x 1 x 1 voxels, expected at most 250000"


def test_work_ends_when_its_hours_are_over() -> None:
    now = iter([0.0, 3599.0, 3600.0])
    check = end_in_time(never_cancelled, WorkLimits(hours=1), "a", clock=lambda: next(now))
    check()
    with pytest.raises(ExcessiveError, match="center 'a': the work took longer than 1 h and was broken off"):
        check()


def test_work_that_is_cancelled_ends_before_its_hours_are_over() -> None:
    def cancel() -> None:
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        end_in_time(cancel, DEFAULT_LIMITS, "a")()


def test_a_training_beyond_its_hours_stops_at_the_next_step(cohort: Path, tmp_path: Path, study: Study) -> None:
    trainer = Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path, limits=WorkLimits(hours=1e-12))
    assert trainer.perform(asked(study)).error == "excessive"


def test_memory_is_what_the_center_says_or_what_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  2048 kB\nMemFree: 7 kB\n")
    (tmp_path / "limit").write_text("1048576\n")
    monkeypatch.setattr(work_limits, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(work_limits, "CGROUP", tmp_path / "none")
    assert (main_memory_bytes(), memory_bytes(ONE_GIB, "cpu")) == (2 << 20, 1 << 30)
    monkeypatch.setattr(work_limits, "CGROUP", tmp_path / "limit")
    assert memory_bytes(DEFAULT_LIMITS, "cpu") == 1 << 20
    (tmp_path / "limit").write_text("max\n")
    assert main_memory_bytes() == 2 << 20
