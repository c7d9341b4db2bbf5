"""A fold end to end: whoever tests in it trains neither its backbone nor an arm of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from client.data.synthetic import CENTERS, write_synthetic_cohort
from client.scores.score_rows import read_rows
from deploy.comparison.outcomes import Outcome, read_outcome
from deploy.comparison.planner import Plan, Run, read_plan
from deploy.comparison.worker import RunJob, simulate_run
from protocol.storage.sealed_json import unseal
from server.results.result import read_result
from strategies.bank.bank import SHARED, AdapterBank
from strategies.evaluation.merged_folds import merge_folds
from tests.support.small_benchmark import BENCHMARK, write_benchmark

pytestmark = pytest.mark.slow

SIZES = {"center-a": 2, "center-b": 3}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    text = BENCHMARK.replace("seeds = [1, 2]", "seeds = [1]\nfolds = 2").replace("rounds = 2", "rounds = 1")
    # So few patients leave none to validate, and without any a gate can decide nothing.
    text = text.replace("[study.model]", "[study.strategy]\ngate = false\n[study.model]")
    return read_plan(write_benchmark(tmp_path_factory.mktemp("plan") / "benchmark.toml", text))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"), seed=1)


@pytest.fixture(scope="module")
def folds(plan: Plan, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Backbone and first arm of both folds, carried out."""
    root = tmp_path_factory.mktemp("folds")
    return [carry_out(plan, run, cohort, root / str(run.fold)) for run in plan.runs if run.arm == "together"]


def write_cohort(folder: Path, seed: int) -> Path:
    centers = [replace(center, patients=SIZES[center.name]) for center in CENTERS if center.name in SIZES]
    write_synthetic_cohort(folder, centers=centers, seed=seed)
    return folder


def carry_out(plan: Plan, run: Run, data: Path, out: Path) -> Path:
    """Train the backbone of the run's fold, then carry out the run on it."""
    out.mkdir()
    (out / "backbone.toml").write_text(plan.backbones[run.fold])
    job = RunJob("backbone", out / "backbone.toml", data, out / "backbone", "cpu", out / "cache", threads=1)
    simulate_run(job)
    bank = AdapterBank(out / "backbone" / "bank")
    frozen = bank.root / "backbones" / f"{bank.head(SHARED).backbone}.safetensors"
    (out / "run.toml").write_text(run.text(frozen.stem))
    simulate_run(replace(job, study_file=out / "run.toml", out=out / "run", backbone=frozen))
    return out


def held_out(out: Path, study: str) -> set[str]:
    """The test cases of the split that a study fixed."""
    splits = [unseal(path.read_bytes())["cases"] for path in (out / study / "centers").glob("*/split-*.json")]
    return {case for cases in splits for case, part in cases.items() if part == "test"}


def outcome_of(run: Run, out: Path) -> Outcome:
    found = read_outcome(run, out / "run")
    assert isinstance(found, Outcome)
    return found


def trained(out: Path) -> tuple[str, str]:
    """What identifies the tensors that a backbone and a run on it left."""
    result = read_result(out / "run" / "result.json")
    assert result is not None
    return result["backbone"], AdapterBank(out / "run" / "bank").head(SHARED).sha256


def test_every_patient_is_scored_in_one_fold(folds: list[Path]) -> None:
    scored = [
        {row["case"] for path in (out / "run" / "centers").glob("*/scores.json") for row in read_rows(path)}
        for out in folds
    ]
    assert not scored[0] & scored[1]
    assert len(scored[0] | scored[1]) == sum(SIZES.values())
    assert [held_out(out, "run") for out in folds] == scored


def test_a_backbone_and_an_arm_leave_out_the_same_patients(folds: list[Path]) -> None:
    for out in folds:
        at_a = {case for case in held_out(out, "run") if "center-a" in case}
        assert held_out(out, "backbone") >= at_a
        assert at_a


def test_other_images_of_test_patients_change_neither_backbone_nor_adapters(
    plan: Plan, cohort: Path, folds: list[Path], tmp_path: Path
) -> None:
    others, mixed = write_cohort(tmp_path / "others", seed=2), tmp_path / "mixed"
    shutil.copytree(cohort, mixed)
    run = next(run for run in plan.runs if run.arm == "together")
    for case in held_out(folds[0], "run"):
        center = next(center for center in SIZES if (mixed / center / case).exists())
        shutil.rmtree(mixed / center / case)
        shutil.copytree(others / center / case, mixed / center / case)
    again = carry_out(plan, run, mixed, tmp_path / "again")
    assert trained(again) == trained(folds[0])
    scores = [outcome_of(run, out).scores["ct+pet"].matrix.values.tolist() for out in (again, folds[0])]
    assert json.dumps(scores[0]) != json.dumps(scores[1])


def test_folds_merge_to_means_over_all_patients(plan: Plan, folds: list[Path]) -> None:
    runs = [run for run in plan.runs if run.arm == "together"]
    merged = merge_folds([outcome_of(run, out).scores["ct+pet"] for run, out in zip(runs, folds, strict=True)])
    assert {center: len(cases) for center, cases in merged.cases.items()} == SIZES
