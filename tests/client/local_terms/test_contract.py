"""What every local term may rely on."""

import numpy as np
import torch

from client.local_terms.contract import LocalTerm, QuietTerm, array_of, like, sum_of
from fusion_models.adapters.injection import inject_beside
from fusion_models.adapters.keys import parameters_by_key
from tests.support.local_round import NOTHING, Pair, adapted, around, array
from tests.support.segmentation_task import batch


def test_a_round_knows_what_it_trains() -> None:
    assert set(around(Pair()).parameters()) == {"w", "v"}


def test_a_centers_own_adapter_trains_but_is_not_common() -> None:
    model = adapted()
    inject_beside(model, "center", {"0": 1}, seed=1)
    parameters_by_key(model)["0#center_a"].requires_grad = True
    parts = around(model)
    assert "0#center_a" in parts.parameters()
    assert set(parts.common()) == {"0#lora_a", "0#lora_b"}


def test_arrays_become_tensors_of_their_own_and_back() -> None:
    values = array(1, 2)
    tensor = like(values, torch.zeros(1, dtype=torch.float64))
    values[0] = 9
    assert (tensor.tolist(), tensor.dtype) == ([1.0, 2.0], torch.float64)
    back = array_of(tensor)
    tensor[0] = 5
    assert back.tolist() == [1.0, 2.0]
    assert back.dtype == np.float32


def test_parts_of_a_penalty_add_up() -> None:
    assert sum_of([torch.tensor(1.5), torch.tensor(2.0)]).item() == 3.5


def test_a_quiet_term_changes_nothing() -> None:
    term: LocalTerm = QuietTerm()
    term.remember(batch())
    term.adjust_gradients()
    term.after_step()
    assert term.penalty(batch(), NOTHING) is None
    assert term.outcome() == {}
