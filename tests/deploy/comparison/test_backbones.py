"""The backbones that runs start from: given or trained, and what stops a benchmark without one."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from deploy.comparison import backbones
from deploy.comparison.backbones import provide_backbones
from deploy.comparison.planner import Plan, read_plan
from deploy.comparison.runner import Workforce
from deploy.comparison.worker import RunJob
from protocol.errors import StudyError
from tests.support.small_benchmark import BENCHMARK, write_benchmark


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    text = BENCHMARK.replace("seeds = [1, 2]", "seeds = [1]\nfolds = 3")
    return read_plan(write_benchmark(tmp_path / "benchmark.toml", text))


def workforce(folder: Path) -> Workforce:
    return Workforce(folder, folder / "cache", "cpu", 2, None, Console(file=io.StringIO()))


def test_a_backbone_that_is_given_is_copied_under_its_hash(plan: Plan, tmp_path: Path) -> None:
    save_file({"w": np.zeros(2, np.float32)}, tmp_path / "given.safetensors")
    given = replace(plan, backbones={}, backbone_file=tmp_path / "given.safetensors")
    found = provide_backbones(given, tmp_path / "out", workforce(tmp_path))
    assert list(found) == [0]
    assert (found[0].parent, len(found[0].stem)) == (tmp_path / "out" / "backbone", 64)
    with pytest.raises(StudyError, match="correct backbone_file"):
        provide_backbones(replace(given, backbone_file=tmp_path / "none"), tmp_path, workforce(tmp_path))


def test_one_backbone_a_fold_is_trained_and_one_that_fails_stops_the_benchmark(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RunJob] = []

    def run_all(jobs: Sequence[RunJob], **_: Any) -> Mapping[str, str]:
        asked.extend(jobs)
        return {jobs[1].name: "no room"}

    monkeypatch.setattr(backbones, "run_all", run_all)
    with pytest.raises(StudyError, match=r"could not be trained \(no room\).*fold-2/error.txt"):
        provide_backbones(plan, tmp_path, workforce(tmp_path))
    assert [job.name for job in asked] == ["backbone/fold-1", "backbone/fold-2", "backbone/fold-3"]
    assert [job.study_file.read_text() for job in asked] == list(plan.backbones.values())


def test_networks_without_a_backbone_get_none(plan: Plan, tmp_path: Path) -> None:
    assert provide_backbones(replace(plan, backbones={}), tmp_path, workforce(tmp_path)) == {}
