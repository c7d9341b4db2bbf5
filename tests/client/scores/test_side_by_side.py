"""Two networks beside each other on a center's cases."""

from collections.abc import Mapping

import numpy as np
import pytest

from client.data.preprocessing import PreparedCase
from client.scores import scoring
from client.scores.scoring import Network, Scored
from client.scores.side_by_side import score_side_by_side
from client.tasks.contract import CenterTask
from fusion_models.registry import model_row
from protocol.messages.scores import Comparison
from protocol.messages.settings import Model, StudySettings
from tests.support.masked_case import masked
from tests.support.segmentation_task import row, segmentation

TASK = segmentation()
SETTINGS = StudySettings(study="small", seed=5, model=Model(name="pemma-unetr-tiny"))
RNG = np.random.default_rng(0)


def network(mark: str) -> Network:
    tensors = {mark: np.ones(1, np.float32)}
    return Network(SETTINGS, model_row("pemma-unetr-tiny"), {}, "", tensors, "cpu")


def case(name: str) -> PreparedCase:
    image = np.zeros((2, 2, 2), np.float32)
    return masked(name, image, None, np.ones((2, 2, 2), np.uint8))


def answer_with(monkeypatch: pytest.MonkeyPatch, dice: Mapping[tuple[str, str], float | None]) -> None:
    """Let a network's mark and the case's name decide the Dice."""

    def score_now(asked: Network, _task: CenterTask, found: PreparedCase, setting: str) -> Scored:
        (mark,) = asked.tensors
        return Scored(row(found.name, setting, dice[mark, found.name]), (1,), np.dtype(np.uint8), b"")

    monkeypatch.setattr(scoring, "score_now", score_now)


def test_the_difference_is_of_the_first_minus_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.5 and 0.7 against 0.6 and 1.0: differences of -0.1 and -0.3, whose deviation is 0.1, over the root of 2."""
    answer_with(monkeypatch, {("ours", "a"): 0.5, ("ours", "b"): 0.7, ("own", "a"): 0.6, ("own", "b"): 1.0})
    found = score_side_by_side(network("ours"), network("own"), TASK, [case("a"), case("b")], RNG)
    assert (found.first, found.second) == pytest.approx((0.6, 0.8))
    assert found.comparison.cases == 2
    assert found.comparison.difference == pytest.approx(-0.2)
    assert found.comparison.standard_error == pytest.approx(0.1 / 2**0.5)


def test_without_a_case_nothing_is_defined() -> None:
    found = score_side_by_side(network("ours"), network("own"), TASK, [], RNG)
    assert (found.first, found.second, found.comparison) == (None, None, Comparison(0, None))
