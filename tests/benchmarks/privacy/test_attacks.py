"""What the benchmark of attacks does to cases and updates, and its arithmetic; what it trains is its own to run."""

import numpy as np
import pytest

from client.data.preprocessing import PreparedCase
from protocol.local_steps import reach_of
from protocol.messages.payload import Payload
from protocol.messages.settings import Training
from tests.support.attacks import UPDATES, as_far_as_admitted
from tests.support.benchmark_scripts import load_script
from tests.support.poisoned_cases import EDGE, TASK, flip_labels, plant, trigger

attacks, federation = load_script("privacy/attacks.py"), load_script("privacy/poisoned_federation.py")
SIZE = 16


@pytest.fixture
def case() -> PreparedCase:
    """A cube of tumour in the corner of a volume of zeros."""
    mask = np.zeros((SIZE,) * 3, np.uint8)
    mask[:5, :5, :5] = 1
    zeros = np.zeros((SIZE,) * 3, np.float32)
    return PreparedCase("one", zeros, zeros, {TASK: mask})


@pytest.fixture
def training() -> Training:
    return Training(groups=("peft",), local_steps=1, learning_rate=1e-3, modality_shares={"ct": 1})


def test_flipped_labels_are_the_complement(case: PreparedCase) -> None:
    assert int(flip_labels(case).targets[TASK].sum()) == SIZE**3 - 125


def test_a_trigger_is_a_bright_cube_within_a_ball_away_from_the_tumour(case: PreparedCase) -> None:
    found = trigger(case, np.random.default_rng(0))
    assert found.case.ct is not None
    assert found.case.ct.sum() == EDGE**3
    assert (found.case.ct[~found.ball] == 0).all()
    assert not (found.ball & (case.targets[TASK] > 0)).any()
    assert case.ct is not None
    assert case.ct.sum() == 0


def test_a_planted_ball_is_drawn_as_tumour_beside_the_true_one(case: PreparedCase) -> None:
    """A ball of radius 3 has 123 voxels."""
    found = plant(case, np.random.default_rng(0))
    assert int(found.targets[TASK].sum()) == 125 + 123


def test_an_attack_as_far_as_admitted_is_admitted_and_ten_times_an_update_is_not(training: Training) -> None:
    start = {"qkv#lora_b": np.zeros((1, 2), np.float32)}
    payload = Payload("a", "", "adapt", 0, {"qkv#lora_b": np.array([[1e-4, -1e-4]], np.float32)}, {"peft": 1})
    scaled = UPDATES["turned and scaled"]
    bounded = as_far_as_admitted(scaled, reach_of(training))(payload, start)
    assert federation.is_admitted(payload, start, training)
    assert not federation.is_admitted(scaled(payload, start), start, training)
    assert federation.is_admitted(bounded, start, training)
    assert (np.sign(bounded.tensors["qkv#lora_b"]) == [[-1, 1]]).all()


def test_every_rule_and_every_attack_on_updates_has_its_run() -> None:
    assert {"mean", "every study", "geometric-median", "multi-krum", "trimmed-mean", "fltrust"} == set(
        attacks.arms(1, "center-1")
    )
    assert set(UPDATES) < set(attacks.attacks())


def test_what_a_rule_costs_is_its_difference_to_the_mean_without_a_liar() -> None:
    """0.6 beside 0.7; its worst center has 0.4, the least heard 0.05 of the weight."""
    runs = [
        {"rule": rule, "attack": "none", "seed": 1, "dice": dice, "by_center": {"a": worst, "b": 1}, "weight": weight}
        for rule, dice, worst, weight in (("mean", 0.7, 0.5, {"a": 0.5}), ("multi-krum", 0.6, 0.4, {"a": 0.05}))
    ]
    found = attacks.costs_of(runs)["multi-krum"]
    assert found == {"difference": [pytest.approx(-0.1)], "worst_center": [0.4], "least_heard": [0.05]}


def test_a_center_weighs_the_mean_of_its_shares_in_what_did_not_stand_still() -> None:
    rounds = [{"peft": {"a": 1.0, "b": 3.0}, "pet": {}}, {"peft": {"b": 1.0}}]
    assert attacks.weight_of(rounds, "a") == pytest.approx(0.125)
