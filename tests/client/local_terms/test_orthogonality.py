"""O-LoRA: overlap of new input directions with earlier ones."""

import numpy as np
import pytest

from client.local_terms.orthogonality import build
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError
from tests.support.local_round import adapted, around, penalty


def test_o_lora_counts_the_overlap_with_earlier_directions() -> None:
    """Rows of A are e1, e2; the reference's residual has 2 e1 and e3: the overlap is 2 in one entry, 0.5 * 4 = 2.

    What the received residual holds, the stage's own directions among it, does not count.
    """
    model = adapted()
    residual = np.array([[2, 0, 0], [0, 0, 1]], np.float32)
    now = {"0#residual_a": np.full((5, 3), 7, np.float32)}
    term = build(around(model, now, {"0#residual_a": residual}), 0.5)
    loss = penalty(term)
    loss.backward()
    assert loss.item() == pytest.approx(2)
    assert parameters_by_key(model)["0#lora_a"].grad is not None


def test_o_lora_is_absent_without_a_residual_and_while_a_is_frozen() -> None:
    residual = {"0#residual_a": np.ones((1, 3), np.float32)}
    assert build(around(adapted()), 1) is None
    assert build(around(adapted(), residual), 1) is None
    model = adapted()
    assert build(around(model, {}, residual), 1) is not None
    parameters_by_key(model)["0#lora_a"].requires_grad = False
    assert build(around(model, {}, residual), 1) is None


def test_a_residual_of_another_width_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'0#residual_a' has input width 4, expected 3 as '0#lora_a'"):
        build(around(adapted(), {}, {"0#residual_a": np.ones((1, 4), np.float32)}), 1)
