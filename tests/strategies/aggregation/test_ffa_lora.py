"""FFA-LoRA: B alone is averaged."""

from protocol.messages.settings import Aggregation
from strategies.aggregation import ffa_lora
from tests.support.drawn_adapters import A, B, sent_by
from tests.support.linear_round import base, lists, tensor


def test_ffa_lora_averages_b_and_leaves_a_at_its_start() -> None:
    """B = (3 x 4 + 1 x 8) / 4 = 5; product 5 x 2 = 10, as the mean of 8 and 16 with weights 3/4, 1/4."""
    payloads = [sent_by("a", {B: tensor([4])}, peft=3), sent_by("b", {B: tensor([8])}, peft=1)]
    result = ffa_lora.aggregate({A: tensor([2]), B: tensor([0])}, payloads, base("lora_b", "magnitude"), {})
    assert lists(result.shared) == {A: [[2.0]], B: [[5.0]]}
    assert ffa_lora.live(0, Aggregation()) == ffa_lora.live(1, Aggregation()) == ("lora_b", "magnitude")
