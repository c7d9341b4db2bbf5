"""A study of phantoms by `simulate`, with its scores summed and in the open: the same decision and averages."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from client.data.synthetic import CENTERS, write_synthetic_cohort
from deploy.simulation.local import center_home
from deploy.simulation.summary import print_summary
from server.results.result import read_result
from server.study.directory import StudyDirectory
from tests.support.small_study import run, write_study
from tests.support.study_text import NETWORK, QUARTERS, centers_text, head_text, stage_text

NAMES = tuple(center.name for center in CENTERS)
STRATEGY = "\n[strategy]\ngate = { liars = 0, tolerance = 0.1 }\nrollback = false\n"
TEXT = (
    head_text("phantoms", "Phantoms", "seed = 5")
    + NETWORK
    + QUARTERS
    + STRATEGY
    + "[secure_aggregation]\nSCORES\n"
    + centers_text(NAMES, {"center-d": 'modalities = ["ct"]'})
    + stage_text("pretrain", NAMES, kind="pretrain")
    + stage_text("adapt", NAMES)
)
CASES = 4


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyDirectory, StudyDirectory]:
    """The study with its scores summed, and with those of each center in the open; tensors are summed in both."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_synthetic_cohort(folder / "data", centers=[replace(found, patients=CASES) for found in CENTERS], seed=1)
    texts = {"summed": TEXT.replace("SCORES", 'scores = "summed"'), "open": TEXT.replace("SCORES", "")}
    summed, plain = (
        run(write_study(folder / f"{name}.toml", text), folder / "data", folder / name) for name, text in texts.items()
    )
    return summed, plain


def result_of(found: StudyDirectory) -> dict[str, Any]:
    return read_result(found.result) or {}


def test_the_decision_and_the_tensors_are_the_same(both: tuple[StudyDirectory, StudyDirectory]) -> None:
    summed, plain = map(result_of, both)
    assert [gate["promoted"] for gate in summed["gates"]] == [gate["promoted"] for gate in plain["gates"]]
    for hidden, told in zip(summed["gates"], plain["gates"], strict=True):
        if hidden["stage"] == "adapt":
            assert hidden["mean"] == pytest.approx(told["mean"], abs=1e-9)
            assert hidden["lower_bound"] == pytest.approx(told["lower_bound"], abs=1e-6)
    # Four centers of as many cases: the weighted mean is the mean.
    for hidden, told in zip(summed["matrices"]["ct"]["dice"], plain["matrices"]["ct"]["dice"], strict=True):
        assert hidden == [pytest.approx(sum(told) / len(told), abs=1e-9)]
    with_pet = plain["matrices"]["ct+pet"]["dice"][-1]
    assert with_pet[NAMES.index("center-d")] is None
    expected = sum(value for value in with_pet if value is not None) / 3
    assert summed["matrices"]["ct+pet"]["dice"][-1] == [pytest.approx(expected, abs=1e-9)]


def test_the_center_still_sees_its_own_and_nobody_else_does(both: tuple[StudyDirectory, StudyDirectory]) -> None:
    summed = both[0]
    for name in NAMES:
        own, same = (json.loads((center_home(found.root, name) / "scores.json").read_text()) for found in both)
        assert own.keys() == same.keys()
        log = (center_home(summed.root, name) / "outgoing.jsonl").read_text().splitlines()
        lines = [json.loads(line) for line in log]
        assert not any(line["scores"] or line["comparison"] or line["diagnostics"] for line in lines)
        assert any("ct/dice" in line.get("sum", {}).get("rows", ()) for line in lines)
        assert (center_home(summed.root, name) / "report.html").exists()
    assert "withheld" in summed.report.read_text()


def test_the_last_lines_of_the_run_say_what_is_withheld(both: tuple[StudyDirectory, StudyDirectory]) -> None:
    console = Console(record=True, width=200, quiet=False, file=io.StringIO())
    print_summary(both[0], result_of(both[0]), console)
    text = console.export_text()
    assert "all centers" in text
    assert "forgetting ct: withheld" in text
