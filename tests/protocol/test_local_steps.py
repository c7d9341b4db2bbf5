"""How far the steps of a round can take a tensor: what torch's AdamW does stays within, whatever the gradients."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.local_steps import BETAS, EPSILON, is_gate, rate_factor, reach_of, step_limits, warm_up
from protocol.messages.recipe import Recipe
from protocol.messages.settings import Training


def training(steps: int, rate: float = 0.1, decay: float = 0.0) -> Training:
    return Training(
        groups=("peft",), local_steps=steps, learning_rate=rate, weight_decay=decay, modality_shares={"ct": 1.0}
    )


def moved(
    gradients: list[list[float]], start: list[float], asked: Training
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """How far AdamW as a center runs it takes each entry; a gradient of NaN stands for a step that leaves all alone."""
    value = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32))
    optimiser = torch.optim.AdamW(
        [value], lr=asked.learning_rate, betas=BETAS, eps=EPSILON, weight_decay=asked.weight_decay
    )
    for step, gradient in enumerate(gradients):
        optimiser.param_groups[0]["lr"] = warm_up(asked.learning_rate, step)
        found = torch.tensor(gradient, dtype=torch.float32)
        value.grad = None if found.isnan().any() else found
        optimiser.step()
    return (value.detach() - torch.tensor(start)).double().abs().numpy()


def test_the_rate_rises_in_fifths() -> None:
    assert [warm_up(10.0, step) for step in range(6)] == [2.0, 4.0, 6.0, 8.0, 10.0, 10.0]


def test_a_first_step_is_as_long_as_its_rate_and_later_ones_may_be_a_little_longer() -> None:
    limits = step_limits(2000)
    assert limits[0] == pytest.approx(1)
    assert limits[39] == pytest.approx(1.4614, abs=1e-4)
    assert limits == sorted(limits)
    assert limits[-1] < 7.3


def test_steps_add_up_with_their_rates() -> None:
    """Two steps at 0.1 that warm up: 0.02 and 0.04 times about 1."""
    assert reach_of(training(2)).move == pytest.approx(1.01 * 0.06, rel=1e-3)
    assert reach_of(training(2)).shrink == pytest.approx(0, abs=1e-4)


def test_decay_adds_its_part_of_what_was_there() -> None:
    """One step of rate 0.02 with decay 5 takes a tenth off."""
    assert reach_of(training(1, decay=5)).shrink == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("steps", [1, 5, 40, 200])
def test_gradients_that_grow_as_the_bound_wants_them_stay_within_and_near_it(steps: int) -> None:
    """A constant gradient steps by the rate itself; a growing one, (b2 / b1)^t, by nearly c_t."""
    growth = BETAS[1] / BETAS[0]
    scale = 1e-3 if steps < 100 else 1e-9
    found = moved([[1.0, scale * growth**step] for step in range(steps)], [0.0, 0.0], training(steps, 1e-3))
    reach = reach_of(training(steps, 1e-3)).move
    assert found.max() <= reach
    assert found[1] > 0.8 * reach


VALUES = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, 1e-20, -1e18, 1e18, float("nan")])


@given(
    st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=25),
    st.floats(-50, 50, width=32),
    st.sampled_from([0.0, 1e-5, 0.5, 30.0]),
)
@settings(max_examples=60, deadline=None)
def test_no_gradients_whatever_lead_out_of_it(gradients: list[tuple[float, float]], start: float, decay: float) -> None:
    asked = training(len(gradients), 0.05, decay)
    reach = reach_of(asked)
    found = moved([list(pair) for pair in gradients], [start, 0.0], asked)
    assert (found <= [reach.move + reach.shrink * abs(start), reach.move]).all()


def with_recipe(asked: Training, **changes: Any) -> Training:
    return asked.model_copy(update={"recipe": Recipe.model_validate(changes)})


@pytest.mark.parametrize(
    ("key", "factor"),
    [
        ("attention.0.opening.gate", 30),
        ("pet_skip.gain", 30),
        ("cgm.ct_gate.channel.0.weight", 1),
        ("gate.weight", 1),
        ("gain#lora_a", 1),
        ("", 1),
    ],
)
def test_gates_and_gains_alone_have_a_rate_of_their_own(key: str, factor: float) -> None:
    asked = with_recipe(training(2), gate_rate=30)
    assert rate_factor(key, asked) == factor
    assert rate_factor(key, training(2)) == (1 if factor == 1 else 5)
    assert reach_of(asked, key).move == pytest.approx(factor * reach_of(training(2)).move)


def test_a_gate_is_told_by_the_last_word_of_its_key() -> None:
    assert is_gate("attention_gates.3.gate")
    assert is_gate("skip_gain.gain")
    assert is_gate("skip_gain.gain@own")
    assert not is_gate("merges.0.cgm.ct_gate.spatial.weight")
    assert not is_gate("head.weight")


def test_kept_moments_count_from_the_first_step_of_the_stage() -> None:
    """The third round of two steps has c_5 and c_6, at rates that warm up afresh; fresh moments have c_1 and c_2."""
    limits, asked = step_limits(6), with_recipe(training(2), optimiser="kept")
    assert reach_of(asked, rounds_before=2).move == pytest.approx(
        1.01 * (0.02 * limits[4] + 0.04 * limits[5]), rel=1e-4
    )
    assert reach_of(asked, rounds_before=0) == reach_of(training(2), rounds_before=2) == reach_of(training(2))


def test_moments_that_go_on_stay_within_it_and_leave_what_fresh_ones_allow() -> None:
    """After 40 steps of gradients that grow as fast as the bound wants them, five more at a rate that warms up."""
    growth, asked = BETAS[1] / BETAS[0], with_recipe(training(5, 1e-3), optimiser="kept")
    value = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([value], lr=1e-3, betas=BETAS, eps=EPSILON, weight_decay=0)
    places = []
    for step in range(45):
        optimiser.param_groups[0]["lr"] = warm_up(1e-3, step if step < 40 else step - 40)
        value.grad = torch.tensor([1e-3 * growth**step])
        optimiser.step()
        places.append(value.item())
    moved_in_the_last = abs(places[-1] - places[39])
    assert reach_of(asked).move < moved_in_the_last <= reach_of(asked, rounds_before=8).move


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20),
    st.lists(st.floats(0, 1), min_size=20, max_size=20),
    st.floats(-5, 5, width=32),
)
@settings(max_examples=40, deadline=None)
def test_an_average_of_the_states_of_a_round_lies_within_it(
    gradients: list[float], decays: list[float], start: float
) -> None:
    asked, value = training(len(gradients), 0.05, 0.3), torch.nn.Parameter(torch.tensor([start]))
    optimiser = torch.optim.AdamW([value], lr=0.05, betas=BETAS, eps=EPSILON, weight_decay=0.3)
    average = float(start)
    for step, gradient in enumerate(gradients):
        optimiser.param_groups[0]["lr"] = warm_up(0.05, step)
        value.grad = torch.tensor([gradient])
        optimiser.step()
        average = decays[step] * average + (1 - decays[step]) * value.item()
    reach = reach_of(asked)
    assert abs(average - start) <= reach.move + reach.shrink * abs(start)
