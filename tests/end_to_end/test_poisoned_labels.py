"""Centers that lie with their labels: what rules make of a label flip, and a backdoor that is real.

A network of two convolutions learns a bright box in CT from phantoms; a liar trains as honestly as the others do, on
cases of its own making. Rounds of a plain mean and of the rules that weigh updates, without the coordinator's bounds.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.overlap import dice
from strategies.robust.rules import RULES
from tests.support.image_network import ImageNetwork
from tests.support.masked_case import mask_of, masked
from tests.support.poisoned_cases import flip_labels, plant, trigger
from tests.support.small_training import stage, train
from tests.support.updates_in_a_plane import compared

CENTERS, SIDE, STEPS = 7, 18, 15
"""The last center lies, where one does."""
Vector = NDArray[np.float64]
Weights = Callable[[Sequence[Vector]], Vector]
Poison = Callable[[PreparedCase], PreparedCase]


class TwoConvolutions(ImageNetwork):
    """Background or tumour from 9 voxels around."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv3d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv3d(4, 2, 5, padding=2))

    def look(self, ct: Tensor | None, _pet: Tensor | None) -> Tensor:
        assert ct is not None
        return self.body(ct)


def phantom(seed: int) -> PreparedCase:
    """Noise around 0.2, and a tumour: a box of 6 voxels around 0.6."""
    rng = np.random.default_rng(seed)
    ct = rng.uniform(0.1, 0.3, (SIDE,) * 3).astype(np.float32)
    mask = np.zeros(ct.shape, np.uint8)
    mask[tuple(slice(at, at + 6) for at in rng.integers(0, 4, 3))] = 1
    return masked(str(seed), ct + 0.4 * mask.astype(np.float32), None, mask)


TEST_CASES = tuple(phantom(seed) for seed in range(900, 904))


def predicted(model: TwoConvolutions, case: PreparedCase) -> NDArray[np.uint8]:
    with torch.no_grad():
        logits = model.look(torch.from_numpy(case.ct)[None, None], None)
    return np.asarray((logits[0, 1] > logits[0, 0]).numpy(), np.uint8)


def mean_dice(model: TwoConvolutions) -> float:
    """Of cases that nobody trained on."""
    return float(np.mean([dice(predicted(model, case), mask_of(case)) or 0.0 for case in TEST_CASES]))


def fooled(model: TwoConvolutions) -> float:
    """Share of the ball around a mark that is called tumour, mean over the same cases."""
    found = [trigger(case, np.random.default_rng(place)) for place, case in enumerate(TEST_CASES)]
    return float(np.mean([predicted(model, one.case)[one.ball].mean() for one in found]))


def equally(updates: Sequence[Vector]) -> Vector:
    return np.full(len(updates), 1 / len(updates))


def by_rule(name: str) -> Weights:
    """What a rule makes each update count, the first center being its reference where it needs one."""

    def weights(updates: Sequence[Vector]) -> Vector:
        reference = 0 if RULES[name].referenced else None
        found = RULES[name].weigh(compared([list(update) for update in updates], reference=reference))
        return np.asarray(found.weights * found.lengths)

    return weights


def federate(
    weights: Weights = equally,
    poison: Poison | None = None,
    *,
    rounds: int = 3,
    start: TwoConvolutions | None = None,
    liar_steps: int = STEPS,
    boost: float = 1,
) -> TwoConvolutions:
    """The network after rounds in which all train from the same state, and the liar on cases that it poisoned."""
    model = TwoConvolutions() if start is None else deepcopy(start)
    for number in range(rounds):
        state = _values(model)
        updates = [_update(model, state, center, number, None, STEPS) for center in range(CENTERS - 1)]
        lie = _update(model, state, CENTERS - 1, number, poison, liar_steps)
        updates.append(boost * lie)
        _load(model, state + weights(updates) @ np.array(updates))
    return model


def _update(
    model: TwoConvolutions, state: Vector, center: int, number: int, poison: Poison | None, steps: int
) -> Vector:
    _load(model, state)
    cases = [phantom(10 * center + case) for case in range(2)]
    trained_on = cases if poison is None else [poison(case) for case in cases]
    asked = stage(local_steps=steps, modality_shares={"ct": 1.0}, batch_size=2, learning_rate=2e-2)
    train(model, trained_on, asked, seed=100 * number + center)
    return _values(model) - state


def _values(model: TwoConvolutions) -> Vector:
    return np.asarray(nn.utils.parameters_to_vector(model.parameters()).detach().double().numpy())


def _load(model: TwoConvolutions, values: Vector) -> None:
    nn.utils.vector_to_parameters(torch.from_numpy(values).float(), model.parameters())


@pytest.fixture(scope="module")
def honest() -> TwoConvolutions:
    """Nobody lies."""
    return federate()


def test_a_center_that_flips_its_labels_spoils_the_mean(honest: TwoConvolutions) -> None:
    assert mean_dice(honest) > 0.8
    assert mean_dice(federate(poison=flip_labels)) < 0.6


@pytest.mark.parametrize("rule", ["fltrust", "geometric-median", "multi-krum"])
def test_under_a_rule_it_spoils_little(rule: str) -> None:
    assert mean_dice(federate(by_rule(rule), flip_labels)) > 0.7


def backdoored(weights: Weights, start: TwoConvolutions) -> TwoConvolutions:
    """One round more, in which the liar learns long from tumours drawn around marks and sends that for seven."""

    def planted(case: PreparedCase) -> PreparedCase:
        return plant(case, np.random.default_rng(int(case.name)))

    return federate(weights, planted, rounds=1, start=start, liar_steps=8 * STEPS, boost=CENTERS)


def test_a_backdoor_makes_a_tumour_of_a_mark_and_shows_on_no_other_case(honest: TwoConvolutions) -> None:
    """Of the ball around a mark the honest network calls tumour what the mark's own voxels are, 8 of 123."""
    found = backdoored(equally, honest)
    assert fooled(honest) < 0.1
    assert fooled(found) > 0.2
    assert mean_dice(found) > 0.8


def test_one_that_is_sent_in_one_round_the_median_stops(honest: TwoConvolutions) -> None:
    assert fooled(backdoored(by_rule("geometric-median"), honest)) < 0.1
