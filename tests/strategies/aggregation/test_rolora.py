"""RoLoRA: factors are averaged in turn."""

from protocol.messages.settings import Aggregation
from strategies.aggregation import rolora
from tests.support.drawn_adapters import A, B, sent_by
from tests.support.linear_round import base, lists, tensor


def test_rolora_averages_b_in_even_rounds_and_a_in_odd_ones() -> None:
    """Round 0: B = (4 + 8) / 2 = 6. Round 1, B = 6 common: A = (2 + 5) / 2 = 3.5, product 21 = (12 + 30) / 2."""
    first = [sent_by("a", {B: tensor([4])}, peft=1), sent_by("b", {B: tensor([8])}, peft=1)]
    second = [sent_by("a", {A: tensor([2])}, peft=1), sent_by("b", {A: tensor([5])}, peft=1)]
    state = {A: tensor([1]), B: tensor([0])}
    state = rolora.aggregate(state, first, base(*rolora.live(0, Aggregation())), {}).shared
    state = rolora.aggregate(state, second, base(*rolora.live(1, Aggregation())), {}).shared
    assert lists(state) == {A: [[3.5]], B: [[6.0]]}
    assert rolora.live(2, Aggregation()) == ("lora_b", "magnitude")
