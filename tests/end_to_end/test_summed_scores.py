"""Scores and comparisons that leave as sums alone: the same figures and the same decision, and no center's own."""

import json
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import QuorumError, SecureSumError
from protocol.messages.instruction import Instruction
from server.results.result import read_result
from tests.support.light_study import Light
from tests.support.summed_score_study import (
    DICE,
    DIFFERENCES,
    HD95_MM,
    PlainScores,
    in_plain,
    summing_scores,
    text_of,
)
from tests.support.summed_study import CASES_OF

pytestmark = pytest.mark.usefixtures("no_report")


def weighted(values: dict[str, float], names: str) -> float:
    weights = {name: CASES_OF[name] for name in names}
    return sum(values[name] * weights[name] for name in names) / sum(weights.values())


def result_of(found: Light) -> dict[str, object]:
    return read_result(found.directory.result) or {}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Light, Light]:
    folder = tmp_path_factory.mktemp("scores")
    hidden, plain = summing_scores(folder / "hidden"), in_plain(folder / "open")
    hidden.run()
    plain.run()
    return hidden, plain


def test_a_sum_is_the_weighted_mean(both: tuple[Light, Light]) -> None:
    """5, 8, 3 and 6 cases; the HD95 of c is not defined."""
    (row, *_) = both[0].state.history.rows
    found = row.test["all centers"]["ct"]
    assert found.value("dice") == pytest.approx(weighted(DICE, "abcd"), abs=1e-9)
    assert found.value("hd95_mm") == pytest.approx(weighted(HD95_MM, "abd"), abs=2e-8)  # type: ignore[arg-type]
    assert (found.cases, found.undefined["hd95_mm"]) == (22, 3)


def test_a_center_without_pet_neither_aborts_nor_dilutes(both: tuple[Light, Light]) -> None:
    (row, *_) = both[0].state.history.rows
    found = row.test["all centers"]["ct+pet"]
    assert found.value("dice") == pytest.approx(weighted(DICE, "abc"), abs=1e-9)
    assert found.cases == 16


def test_what_two_centers_have_is_suppressed_and_not_zero(both: tuple[Light, Light]) -> None:
    """The HD95 with PET is defined at a and b alone."""
    matrix = result_of(both[0])["matrices"]["ct+pet"]  # type: ignore[index]
    assert matrix["hd95_mm"] == [[None], [None]]
    assert matrix["suppressed"]["hd95_mm"] == [[True], [True]]
    assert matrix["suppressed"]["dice"] == [[False], [False]]


def test_the_gate_decides_as_in_the_open(both: tuple[Light, Light]) -> None:
    hidden, plain = (found.state.history.gates[0].verdict for found in both)
    assert (hidden.promoted, plain.promoted) == (True, True)
    assert hidden.mean == pytest.approx(plain.mean, abs=1e-9)
    assert hidden.lower_bound == pytest.approx(plain.lower_bound, abs=1e-8)
    assert (dict(hidden.differences), hidden.worst) == ({}, None)


def test_no_figure_of_a_center_reaches_the_coordinator(both: tuple[Light, Light]) -> None:
    """Nothing that the coordinator keeps has a score or a difference of one center, in rounds neither."""
    hidden, plain = (json.dumps(result_of(found)) for found in both)
    for figure in (*DICE.values(), 12.34, 250.01, -0.004):
        assert str(figure) in plain, figure
        assert str(figure) not in hidden, figure
    records = both[0].state.history.rounds
    assert all(not record.validation and "ct/dice" in record.suppressed for record in records)


def test_what_is_of_single_centers_is_suppressed_in_the_result(both: tuple[Light, Light]) -> None:
    found = result_of(both[0])["transfer"]["ct"]  # type: ignore[index]
    assert found["average"] == pytest.approx(weighted(DICE, "abcd"), abs=1e-9)
    assert (found["worst_center"], found["forgetting"], found["spread"]) == (None, None, None)
    assert {"worst_center", "forgetting", "spread"} <= set(found["suppressed"])


@pytest.mark.parametrize("harmed", [{"c": -0.02}, dict.fromkeys("abcd", -0.011)])
def test_a_candidate_that_harms_one_is_refused_and_nobody_keeps_it(tmp_path: Path, harmed: dict[str, float]) -> None:
    """As in the open with liars = 0, but that no center has a branch, since nobody knows whose it would be."""
    hidden, plain = summing_scores(tmp_path / "hidden"), in_plain(tmp_path / "open")
    for found in (hidden, plain):
        for center in found.centers.values():
            assert isinstance(center, PlainScores)
            center.differences = {**DIFFERENCES, **harmed}
        found.run()
    gates = [found.state.history.gates[0] for found in (hidden, plain)]
    assert [gate.verdict.promoted for gate in gates] == [False, False]
    assert gates[0].branches == ()
    assert f"{len(harmed)} of 4 center(s) of the sum" in gates[0].verdict.reason
    assert np.array_equal(hidden.state.shared["qkv#lora_b"], np.zeros((4, 2)))


def leave(kind: str, of: str) -> object:
    def before(instruction: Instruction) -> None:
        asked = instruction.secure
        if instruction.kind == kind and asked is not None and asked.of == of:
            raise SecureSumError("gone")

    return before


def test_a_row_that_too_few_open_is_suppressed_and_the_study_ends(tmp_path: Path) -> None:
    hidden = summing_scores(tmp_path)
    for name in "ab":
        hidden.centers[name].before = leave("evaluate", "evaluate")  # type: ignore[assignment]
    hidden.run()
    matrix = result_of(hidden)["matrices"]["ct"]  # type: ignore[index]
    assert matrix["dice"] == [[None], [None]]
    assert matrix["suppressed"]["dice"] == [[True], [True]]


def test_a_gate_that_too_few_answer_waits_for_them(tmp_path: Path) -> None:
    hidden = summing_scores(tmp_path)
    for name in "ab":
        hidden.centers[name].before = leave("compare", "compare")  # type: ignore[assignment]
    with pytest.raises(QuorumError, match="a sum needs 3"):
        hidden.run()
    for name in "ab":
        hidden.centers[name].before = None
    hidden.run()
    assert hidden.state.history.gates[0].verdict.promoted


def test_an_earlier_center_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Three of four would open the sum, but a was served before, and nobody could keep it what it has."""
    hidden = summing_scores(tmp_path, text_of(stages=(("one", "abc"), ("two", "bcd"))))
    gone = leave("compare", "compare")

    def before(instruction: Instruction) -> None:
        if instruction.stage == "two":
            gone(instruction)  # type: ignore[operator]

    hidden.centers["a"].before = before
    with pytest.raises(QuorumError, match=r"earlier center\(s\) \['a'\]"):
        hidden.run()
    hidden.centers["a"].before = None
    hidden.run()
    assert [gate.verdict.promoted for gate in hidden.state.history.gates] == [True, True]
