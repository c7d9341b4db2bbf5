"""`concilium benchmark` end to end: every run once, however often it is interrupted, and what failed is said."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from client.scores.score_rows import read_rows
from deploy.comparison.command import benchmark
from deploy.comparison.outcomes import Missing, Outcome, read_outcome
from deploy.comparison.planner import read_plan
from protocol.errors import StudyError
from protocol.storage.sealed_json import seal
from server.cli.app import app
from server.results.result import SCHEMA, read_result, write_result
from server.study import checkpoint as checkpoints
from tests.support.small_benchmark import BENCHMARK, write_benchmark, write_cohort

pytestmark = pytest.mark.slow

MEASURED = {"seconds", "declared_at"}
# A shell that runs the tests in the background hands its children an ignored SIGINT.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from deploy.coordinator.cli import main
sys.argv[0] = 'concilium'
main()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cohort and a benchmark file."""
    root = tmp_path_factory.mktemp("benchmark")
    write_cohort(root / "cohort")
    write_benchmark(root / "benchmark.toml")
    return root


@pytest.fixture(scope="module")
def finished(home: Path) -> Path:
    """The output of a benchmark that nothing interrupted."""
    assert not run(home, home / "finished")
    return home / "finished"


def run(home: Path, out: Path, *only: str) -> bool:
    console = Console(quiet=True)
    return benchmark(home / "benchmark.toml", home / "cohort", out, jobs=1, only=only, device="cpu", console=console)


def call(*arguments: object) -> Result:
    """The command line; `deploy.coordinator.cli` adds its commands when it is imported."""
    import_module("deploy.coordinator.cli")
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)], env={"COLUMNS": "300"})


def table_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "benchmark.json").read_text())
    return found


def without_times(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: without_times(part) for key, part in value.items() if key not in MEASURED}
    return [without_times(part) for part in value] if isinstance(value, list) else value


def test_every_run_is_complete_on_the_one_backbone_and_leaves_all_outputs(finished: Path) -> None:
    table = table_of(finished)
    assert [run["status"] for run in table["runs"]] == ["complete"] * 4
    assert [file.stem for file in (finished / "backbone" / "bank" / "backbones").iterdir()] == [table["backbones"]["0"]]
    assert table["local_steps"] == 8
    assert {run["threads"] for run in table["runs"]} == set(table["machine"]["threads"])
    for name in ("table.md", "report.html", "plots/averages.png", "plots/matrices.png", "plots/curves.png"):
        assert (finished / name).stat().st_size > 0
    for name in ("table.md", "report.html"):
        assert table["formed_by"] in (finished / name).read_text()


def test_figures_are_the_means_of_the_runs_results(finished: Path) -> None:
    """Figures reach a result rounded to 1e-4, and a transfer is a mean of them or of their differences."""
    files = [finished / "runs" / "in-turn" / "forward" / str(seed) / "result.json" for seed in (1, 2)]
    transfers = [json.loads(file.read_text())["transfer"]["ct+pet"] for file in files]
    pooled = table_of(finished)["arms"]["in-turn"]["scores"]["ct+pet"]["pooled"]
    for metric in ("average", "backward_transfer", "forgetting", "forward_transfer"):
        assert pooled[metric]["value"] == pytest.approx(sum(found[metric] for found in transfers) / 2, abs=1e-4)


def test_interrupted_failed_and_resumed_equals_uninterrupted(finished: Path, home: Path) -> None:
    out = home / "resumed"
    shutil.copytree(finished / "backbone", out / "backbone", symlinks=True)
    first, last = (out / "runs" / arm / "forward" / seed for arm, seed in (("together", "1"), ("in-turn", "2")))
    interrupt_at(first / "checkpoint.safetensors", home, out)
    assert isinstance(read_outcome(read_plan(home / "benchmark.toml").runs[0], first), Missing)
    last.mkdir(parents=True)
    for name in ("study.toml", "backbone.json"):
        shutil.copy(finished / "runs" / "in-turn" / "forward" / "2" / name, last)

    assert run(home, out)
    missing = [entry for entry in table_of(out)["runs"] if entry["status"] == "missing"]
    assert [(entry["arm"], entry["seed"]) for entry in missing] == [("in-turn", 2)]
    assert "is not complete" in missing[0]["reason"]
    assert "in-turn/forward/2" in (out / "table.md").read_text()
    assert "Traceback" in (last / "error.txt").read_text()

    shutil.rmtree(last)
    stamp = (first / "result.json").stat().st_mtime_ns
    assert not run(home, out)
    assert (first / "result.json").stat().st_mtime_ns == stamp
    assert without_times(table_of(out)) == without_times(table_of(finished))


def interrupt_at(path: Path, home: Path, out: Path) -> None:
    """Start the benchmark as a program and press Ctrl-C once the checkpoint `path` has its first scores.

    By then every center has the backbone: whether it has to be sent again does not depend on the moment. Nothing of the
    program may live on.
    """
    arguments = ["benchmark", home / "benchmark.toml", "--data", home / "cohort", "--out", out, "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while not has_scores(path):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) != 0
        while alive(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        if alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def has_scores(path: Path) -> bool:
    state = checkpoints.load(path)
    return state is not None and bool(state.history.rows)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_tables_can_be_written_again_without_running(finished: Path, home: Path) -> None:
    before = (finished / "benchmark.json").read_text()
    (finished / "benchmark.json").unlink()
    found = call(home / "benchmark.toml", "--out", finished, "--report-only")
    assert found.exit_code == 0, found.output
    assert "4 of 4 complete" in found.stdout
    assert (finished / "benchmark.json").read_text() == before


def test_writing_tables_runs_nothing_though_the_data_is_named(home: Path, tmp_path: Path) -> None:
    found = call(home / "benchmark.toml", "--data", home / "cohort", "--out", tmp_path / "new", "--report-only")
    assert found.exit_code == 0, found.output
    assert "0 of 4 complete" in found.stdout
    assert not (tmp_path / "new" / "backbone").exists()


def test_results_of_another_file_are_kept_and_refused(finished: Path, home: Path) -> None:
    other = write_benchmark(home / "other.toml", BENCHMARK.replace("rank = 2", "rank = 3"))
    with pytest.raises(StudyError, match=r"hold runs of another version of the benchmark file"):
        benchmark(other, home / "cohort", finished, jobs=1, only=(), device="cpu", console=Console(quiet=True))
    plan = read_plan(other)
    found = read_outcome(plan.runs[0], finished / "runs" / plan.runs[0].name)
    assert isinstance(found, Missing)
    assert found.reason == "was run with another study file"


def test_scores_that_contradict_the_result_are_not_used(finished: Path, home: Path, tmp_path: Path) -> None:
    one = read_plan(home / "benchmark.toml").runs[0]
    folder = tmp_path / "run"
    shutil.copytree(finished / "runs" / one.name, folder, symlinks=True)
    assert isinstance(read_outcome(one, folder), Outcome)
    scores = folder / "centers" / "center-a" / "scores.json"
    rows = read_rows(scores)
    rows[-1]["dice"] = 0.9876
    scores.write_bytes(seal({"rows": rows}))
    found = read_outcome(one, folder)
    assert isinstance(found, Missing)
    assert "center 'center-a' keeps scores that give" in found.reason


def test_a_result_of_another_schema_is_refused_with_what_to_do(finished: Path, home: Path, tmp_path: Path) -> None:
    one = read_plan(home / "benchmark.toml").runs[0]
    folder = tmp_path / "run"
    shutil.copytree(finished / "runs" / one.name, folder, symlinks=True)
    result = read_result(folder / "result.json")
    assert result is not None
    write_result(folder / "result.json", {**result, "schema": 1})
    found = read_outcome(one, folder)
    assert isinstance(found, Missing)
    assert found.reason == (
        f"its result.json has schema 1, this version of concilium reads {SCHEMA}; remove {folder} and run it again"
    )


def test_an_unknown_arm_and_missing_data_are_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"--only \['none'\]: .*known: \['together', 'in-turn'\]"):
        run(home, tmp_path, "none")
    found = call(home / "benchmark.toml", "--out", tmp_path)
    assert found.exit_code == 2
    assert "give --data DIR, or --report-only" in found.stderr
