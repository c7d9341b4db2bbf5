"""What the tensors of an update began from."""

import numpy as np

from protocol.messages.tensors import NORM, PEFT, TensorSpec
from server.rounds.starts import starts_of
from strategies.aggregation.contract import Base

WEIGHT = np.array([[3, 4], [0, 5], [1, 0]], np.float32)
BASE = Base({}, {"m.weight": WEIGHT, "n.weight": np.full(2, 7, np.float32)}, alpha=2, rank=1)
SENT = {"m#lora_a": np.ones((1, 2), np.float32), "m#lora_b": np.zeros((3, 1), np.float32)}
A, B, M = (TensorSpec(f"m#{role}", PEFT, ()) for role in ("lora_a", "lora_b", "magnitude"))


def test_a_fresh_magnitude_begins_as_the_row_norms_of_the_frozen_weight() -> None:
    found = starts_of([A, B, M], SENT, {}, BASE)
    assert found.keys() == {"m#lora_a", "m#lora_b", "m#magnitude"}
    np.testing.assert_allclose(found["m#magnitude"], [5, 5, 1])


def test_an_own_normalisation_begins_as_the_backbones() -> None:
    found = starts_of([TensorSpec("n#norm_weight", NORM, (2,)), TensorSpec("n#norm_bias", NORM, (2,))], SENT, {}, BASE)
    assert {key: list(array) for key, array in found.items()} == {"n#norm_weight": [7, 7]}


def test_an_own_copy_begins_from_what_came_back_last_else_from_the_shared_tensor() -> None:
    copy = TensorSpec("m#lora_a@own", PEFT, (1, 2))
    back = {"m#lora_a@own": np.full((1, 2), 9, np.float32)}
    assert starts_of([A, copy], SENT, {}, BASE)["m#lora_a@own"] is SENT["m#lora_a"]
    assert starts_of([A, copy], SENT, back, BASE)["m#lora_a@own"] is back["m#lora_a@own"]


def test_a_control_variate_has_no_start() -> None:
    assert starts_of([A, TensorSpec("m#lora_a@control", PEFT, (1, 2))], SENT, {}, BASE).keys() == {"m#lora_a"}
