"""How many tensors an answer may bring: the study's, at the center's rank, and sixteen more."""

from pathlib import Path

import pytest

from protocol.messages.instruction import Kind
from server.rounds.reply_bounds import NOTHING, reply_bounds
from tests.support.entered_study import enter
from tests.support.light_study import STUDY


@pytest.mark.parametrize("kind", ["register", "evaluate", "compare"])
def test_an_answer_without_an_update_brings_no_tensor(kind: Kind, tmp_path: Path) -> None:
    assert reply_bounds(enter(tmp_path).prepared)("a", kind) == NOTHING


@pytest.mark.parametrize("kind", ["train", "collect"])
def test_an_update_brings_the_studys_tensors(kind: Kind, tmp_path: Path) -> None:
    """Two of 4 x 4 and two of 2 x 4: 48 values, and sixteen to spare of each."""
    bounds = reply_bounds(enter(tmp_path).prepared)("a", kind)
    assert (bounds.tensors, bounds.tensor_bytes) == (4 + 16, 4 * (48 + 16))


def test_a_center_of_a_larger_rank_may_bring_more(tmp_path: Path) -> None:
    """Rank 3 in place of 2: eight values more."""
    scheme = 'gate = false\n[strategy.aggregation]\nscheme = "flexlora"'
    text = STUDY.replace("[centers.a]\n", "[centers.a]\nrank = 3\n").replace("gate = false", scheme)
    bounds = reply_bounds(enter(tmp_path, text).prepared)
    assert bounds("a", "train").tensor_bytes - bounds("b", "train").tensor_bytes == 4 * 8


def test_a_term_that_returns_something_beside_each_tensor_doubles_them(tmp_path: Path) -> None:
    text = STUDY.replace("gate = false", "gate = false\n[strategy.terms]\nscaffold = true")
    assert reply_bounds(enter(tmp_path, text).prepared)("a", "train").tensors == 2 * 4 + 16


def test_an_observation_brings_statistics_and_features(tmp_path: Path) -> None:
    """One statistic a tensor, one sketch of 32 rows for the module's 4 inputs, and features of both modalities."""
    bounds = reply_bounds(enter(tmp_path).prepared)("a", "observe")
    assert (bounds.tensors, bounds.tensor_bytes) == (4 + 1 + 2 + 16, 4 * (48 + 32 * 4 + 2 * 1030 * 1029 + 16))
