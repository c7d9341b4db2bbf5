"""FedSA-LoRA: A alone is averaged."""

from strategies.aggregation import fedsa_lora
from tests.support.drawn_adapters import A, B, M, sent_by
from tests.support.linear_round import STEM, base, lists, tensor


def test_fedsa_lora_averages_a_alone() -> None:
    """A = (2 + 6) / 2 = 4; B and m of the shared state stay, those of the centers stay with them."""
    payloads = [
        sent_by("a", {A: tensor([2]), B: tensor([9]), M: tensor(9)}, peft=1),
        sent_by("b", {A: tensor([6]), B: tensor([7]), M: tensor(7)}, peft=1),
    ]
    shared = {A: tensor([1]), B: tensor([0]), M: tensor(3)}
    assert lists(fedsa_lora.aggregate(shared, payloads, base(), {}).shared) == {A: [[4.0]], B: [[0.0]], M: [3.0]}
    assert [fedsa_lora.keeps(key) for key in (A, B, M, STEM, f"{A}@own")] == [False, True, True, False, False]
