"""The local terms that act on values and gradients: FedProx, SCAFFOLD, EWC, O-LoRA, and the table that names them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.local_terms.contract import LocalTerm, QuietTerm, Round, array_of, warmed_up
from client.local_terms.ewc import build_ewc
from client.local_terms.orthogonality import build_orthogonality
from client.local_terms.proximal import build_proximal
from client.local_terms.scaffold import Scaffold, build_scaffold
from client.local_terms.table import TERMS, build_terms
from fusion_models.adapters.injection import inject, inject_beside, lora_config, parameters_by_key
from protocol.errors import ModelError
from protocol.messages.settings import LocalTerms, Model, StudySettings, Training

Arrays = Mapping[str, NDArray[np.float32]]
NOTHING = torch.zeros(1)


class Pair(nn.Module):
    """Two trained tensors and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.v = nn.Parameter(torch.tensor([3.0]))
        self.frozen = nn.Parameter(torch.tensor([5.0]), requires_grad=False)


def around(model: nn.Module, received: Arrays | None = None, reference: Arrays | None = None, **terms: Any) -> Round:
    training = Training(
        groups=("peft",), terms=LocalTerms(**terms), local_steps=4, learning_rate=0.1, modality_shares={"ct": 1.0}
    )
    settings = StudySettings(study="s", seed=0, model=Model(name="pemma-unetr-tiny"))
    return Round(model, training, received or {}, reference or {}, settings, lambda _: model, 4)


def array(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def penalty(term: LocalTerm | None) -> Tensor:
    assert term is not None
    found = term.penalty("ct", None, None, NOTHING)
    assert found is not None
    return found


def controlled(model: nn.Module, received: Arrays) -> Scaffold:
    term = build_scaffold(around(model, received, scaffold=True))
    assert term is not None
    return term


def adapted(seed: int = 0) -> nn.Module:
    """A Linear 3 -> 2 with a LoRA of rank 2, A = [[1, 0, 0], [0, 1, 0]]."""
    model = inject(
        nn.Sequential(nn.Linear(3, 2)), lora_config(method="lora", rank=2, alpha=2, targets=["0"]), seed=seed
    )
    with torch.no_grad():
        parameters_by_key(model)["0#lora_a"].copy_(torch.eye(2, 3))
    return model


def test_fedprox_pulls_by_half_mu_times_the_squared_distance() -> None:
    """w moved by (1, -1) and v by 2: 0.5 * 0.1 * (1 + 1 + 4) = 0.3; the gradient is mu times the distance."""
    model = Pair()
    term = build_proximal(around(model, proximal=0.1))
    with torch.no_grad():
        model.w.add_(torch.tensor([1.0, -1.0]))
        model.v.add_(2)
    loss = penalty(term)
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert model.w.grad is not None
    assert model.w.grad.tolist() == pytest.approx([0.1, -0.1])


def test_fedprox_is_zero_at_the_received_values_and_never_sees_the_frozen() -> None:
    model = Pair()
    term = build_proximal(around(model, proximal=0.1))
    with torch.no_grad():
        model.frozen.add_(7)
    assert penalty(term).item() == 0.0


def test_scaffold_adds_the_shared_control_and_takes_off_its_own() -> None:
    """g = (1, 1), c_i = (0.5, 0), c = (0.25, 2): g - c_i + c = (0.75, 3)."""
    model = Pair()
    received = {"w@control": array(0.5, 0), "w@shared-control": array(0.25, 2)}
    term = controlled(model, received)
    model.w.grad, model.v.grad = torch.ones(2), torch.ones(1)
    term.adjust_gradients()
    assert model.w.grad.tolist() == [0.75, 3.0]
    assert model.v.grad.tolist() == [1.0]


def test_scaffold_sends_the_mean_of_the_raw_gradients() -> None:
    """Raw gradients 1 and 3 give 2, whatever the correction added to them; v, never touched, keeps its 7."""
    model = Pair()
    term = controlled(model, {"w@control": array(9, 9), "v@control": array(7)})
    for value in (1.0, 3.0):
        model.w.grad = torch.full((2,), value)
        term.adjust_gradients()
    assert {key: found.tolist() for key, found in term.outcome().items()} == {
        "v@control": [7.0],
        "w@control": [2.0, 2.0],
    }


def test_a_step_that_leaves_a_tensor_alone_does_not_count_for_its_control() -> None:
    """v has a gradient in one of two steps: its control is 4, not 2, and it is not corrected in the other."""
    model = Pair()
    term = controlled(model, {"v@control": array(1)})
    model.w.grad, model.v.grad = torch.ones(2), torch.full((1,), 4.0)
    term.adjust_gradients()
    model.v.grad = None
    term.adjust_gradients()
    assert model.v.grad is None
    assert term.outcome()["v@control"].tolist() == [4.0]


def test_with_plain_sgd_the_new_control_is_option_two_of_the_paper() -> None:
    """c_i+ = c_i - c + (x_t - y) / (K eta), here after K = 3 steps of SGD on a quadratic."""
    model = Pair()
    own, shared = array(0.5, -0.25), array(0.125, 0.5)
    term = controlled(model, {"w@control": own, "w@shared-control": shared})
    optimiser = torch.optim.SGD([model.w], lr=0.1)
    start = model.w.detach().clone()
    for _ in range(3):
        optimiser.zero_grad()
        (model.w**2).sum().backward()
        term.adjust_gradients()
        optimiser.step()
    expected = own - shared + (start - model.w.detach()).numpy() / (3 * 0.1)
    np.testing.assert_allclose(term.outcome()["w@control"], expected, rtol=1e-5)


def test_a_control_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'w@control' has shape \(1,\), expected \(2,\)"):
        build_scaffold(around(Pair(), {"w@control": array(1)}, scaffold=True))


def test_ewc_weighs_the_squared_distance_by_the_fisher() -> None:
    """w = (1, 2), w* = (0, 0), F = (2, 1), lambda 3: 1.5 * (2 * 1 + 1 * 4) = 9; v has no Fisher and is left out."""
    model = Pair()
    term = build_ewc(around(model, {"w@fisher": array(2, 1)}, {"w": array(0, 0), "v": array(0)}, ewc=3))
    loss = penalty(term)
    loss.backward()
    assert loss.item() == pytest.approx(9)
    assert model.w.grad is not None
    assert model.w.grad.tolist() == pytest.approx([6, 6])
    assert model.v.grad is None


def test_ewc_leaves_frozen_tensors_out_and_is_absent_without_any() -> None:
    assert build_ewc(around(Pair(), {"frozen@fisher": array(1)}, {"frozen": array(0)}, ewc=1)) is None


def test_a_fisher_without_a_reference_or_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match="tensor 'w' came with a Fisher but without a reference value"):
        build_ewc(around(Pair(), {"w@fisher": array(1, 1)}, ewc=1))
    with pytest.raises(ModelError, match=r"tensor 'w' has shape \(2,\), its Fisher \(2,\), its reference \(1,\)"):
        build_ewc(around(Pair(), {"w@fisher": array(1, 1)}, {"w": array(1)}, ewc=1))


def test_o_lora_counts_the_overlap_with_earlier_directions() -> None:
    """Rows of A are e1, e2; the reference's residual has 2 e1 and e3: the overlap is 2 in one entry, 0.5 * 4 = 2.

    What the received residual holds, the stage's own directions among it, does not count.
    """
    model = adapted()
    residual = np.array([[2, 0, 0], [0, 0, 1]], np.float32)
    now = {"0#residual_a": np.full((5, 3), 7, np.float32)}
    term = build_orthogonality(around(model, now, {"0#residual_a": residual}, orthogonality=0.5))
    loss = penalty(term)
    loss.backward()
    assert loss.item() == pytest.approx(2)
    assert parameters_by_key(model)["0#lora_a"].grad is not None


def test_o_lora_is_absent_without_a_carry_and_while_a_is_frozen() -> None:
    residual = {"0#residual_a": np.ones((1, 3), np.float32)}
    assert build_orthogonality(around(adapted(), orthogonality=1)) is None
    assert build_orthogonality(around(adapted(), residual, orthogonality=1)) is None
    model = adapted()
    assert build_orthogonality(around(model, {}, residual, orthogonality=1)) is not None
    parameters_by_key(model)["0#lora_a"].requires_grad = False
    assert build_orthogonality(around(model, {}, residual, orthogonality=1)) is None


def test_a_carry_of_another_width_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'0#residual_a' has input width 4, expected 3 as '0#lora_a'"):
        build_orthogonality(around(adapted(), {}, {"0#residual_a": np.ones((1, 4), np.float32)}, orthogonality=1))


def test_the_table_has_a_row_for_every_weight_of_the_settings() -> None:
    assert set(TERMS) == set(LocalTerms.model_fields)


def test_weights_of_zero_build_nothing() -> None:
    parts = around(Pair())
    assert build_terms(parts.model, parts.training, {}, {}, parts.settings, parts.make_model, 4) == []


def test_what_was_never_learnt_needs_no_keeping() -> None:
    """In a first stage there is no sketch, Fisher, reference or residual: of all terms only FedProx and SCAFFOLD act."""
    parts = around(adapted(), proximal=1, scaffold=True, gram_anchor=1, ewc=1, distillation=1, orthogonality=1)
    built = build_terms(parts.model, parts.training, {}, {}, parts.settings, parts.make_model, 4)
    assert [type(term).__name__ for term in built] == ["Proximal", "Scaffold"]


def test_a_round_of_personal_tensors_adds_nothing() -> None:
    """Only a center's own adapter trains: no term holds it, although every memory is there."""
    model = adapted()
    inject_beside(model, "center", {"0": 1}, seed=1)
    for key, parameter in parameters_by_key(model).items():
        parameter.requires_grad = key.endswith(("center_a", "center_b"))
    state = {key: array_of(p) for key, p in parameters_by_key(model).items() if "#lora" in key}
    received = {
        "0@gram": np.ones((1, 3), np.float32),
        "0#lora_a@fisher": state["0#lora_a"],
        "0#residual_a": state["0#lora_a"],
    }
    every: dict[str, Any] = dict.fromkeys(TERMS, 1.0) | {"scaffold": True}
    parts = around(model, state | received, state | {"0#residual_a": state["0#lora_a"]}, **every)
    assert list(parts.trained()) == ["0#center_a", "0#center_b"]
    assert [name for name, build in TERMS.items() if build(parts) is not None] == []


def test_a_quiet_term_changes_nothing() -> None:
    term: LocalTerm = QuietTerm()
    term.remember(None, None, NOTHING)
    term.adjust_gradients()
    term.after_step()
    assert term.penalty("ct", None, None, NOTHING) is None
    assert term.outcome() == {}


def test_the_rate_rises_in_fifths() -> None:
    assert [warmed_up(10.0, step) for step in range(6)] == [2.0, 4.0, 6.0, 8.0, 10.0, 10.0]
