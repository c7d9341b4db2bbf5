"""The Gram anchor: output drift on earlier inputs, whatever the gauge, and its gradient."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from client.local_terms.contract import Round, array_of
from client.local_terms.gram_anchor import GramAnchor, build, row_norms
from fusion_models.adapters.injection import inject, lora_config, reset_magnitudes
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError
from protocol.messages.settings import Adapter, Model, StudySettings, Training
from tests.support.segmentation_task import batch, segmentation

Arrays = Mapping[str, NDArray[np.float32]]
SHAPES: Mapping[str, tuple[int, int]] = {"linear": (5, 6), "conv": (4, 2 * 8)}
KINDS = [(method, layer) for method in ("lora", "dora") for layer in SHAPES]
ALPHA, RANK = 6.0, 3
SCALE = ALPHA / RANK


def adapted(method: str, layer: str, seed: int) -> nn.Module:
    """One Linear 6 -> 5 or Conv3d 2 -> 4 with kernel 2, adapter values drawn so that B and the gain are not trivial."""
    torch.manual_seed(1)
    base = nn.Linear(6, 5) if layer == "linear" else nn.Conv3d(2, 4, 2)
    config = lora_config(method=method, rank=RANK, alpha=ALPHA, targets=["0"])
    model = inject(nn.Sequential(base), config, seed=seed).double()
    reset_magnitudes(model)
    torch.manual_seed(seed)
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if key.endswith(("#lora_a", "#lora_b")):
                parameter.copy_(torch.randn_like(parameter))
            elif key.endswith("#magnitude"):
                parameter.mul_(1 + torch.rand_like(parameter))
    return model


def rounded(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """The adapter's tensors as they travel; the model then holds exactly these values."""
    found = {key: array_of(parameter) for key, parameter in parameters_by_key(model).items() if "#" in key}
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if key in found:
                parameter.copy_(torch.from_numpy(found[key]))
    return found


def effective(model: nn.Module, residual: Tensor | float = 0.0) -> Tensor:
    """diag(d) W0 + C + s diag(d) B A, dense, (d, k); d's norm detached as in peft."""
    values = {
        key: parameter.flatten(1) if parameter.ndim > 1 else parameter
        for key, parameter in parameters_by_key(model).items()
    }
    weight, product = values["0.weight"], SCALE * values["0#lora_b"] @ values["0#lora_a"]
    if "0#magnitude" not in values:
        return weight + product + residual
    gain = values["0#magnitude"].flatten() / torch.linalg.norm((weight + product).detach(), dim=1)
    return gain[:, None] * (weight + product) + residual


def anchor(model: nn.Module, received: Arrays, reference: Arrays, weight: float = 1.0, **adapter: Any) -> GramAnchor:
    training = Training(
        groups=("peft",),
        local_steps=1,
        learning_rate=0.1,
        modality_shares={"ct": 1.0},
    )
    settings = StudySettings(
        study="s",
        seed=0,
        model=Model(name="pemma-unetr-tiny"),
        adapter=Adapter(**{"rank": RANK, "alpha": ALPHA} | adapter),
    )
    term = build(Round(model, training, received, reference, settings, segmentation(), {}, lambda _: model, 1), weight)
    assert term is not None
    return term


def omega(term: GramAnchor) -> Tensor:
    found = term.penalty(batch(), torch.zeros(1))
    assert found is not None
    return found


def inputs(layer: str, n: int = 9) -> tuple[Tensor, NDArray[np.float32]]:
    """X (k, n) and an exact R with R'R = X X'/n: R = X'/sqrt(n), in float32 as it travels."""
    sketch = np.random.default_rng(5).standard_normal((n, SHAPES[layer][1])).astype(np.float32)
    return torch.from_numpy(sketch).double().T * n**0.5, sketch


@pytest.mark.parametrize(("method", "layer"), KINDS)
def test_omega_is_half_the_mean_output_drift_on_the_earlier_inputs(method: str, layer: str) -> None:
    old, new = adapted(method, layer, 2), adapted(method, layer, 3)
    reference = rounded(old)
    x, sketch = inputs(layer)
    drift = ((effective(new) - effective(old)) @ x).square().sum() / x.shape[1]
    found = omega(anchor(new, {"0@gram": sketch}, reference, weight=0.5))
    assert found.item() == pytest.approx(0.25 * drift.item(), rel=1e-10)


@pytest.mark.parametrize(("mass", "allowed"), [(None, 4.0), (2.0, 8.0)])
def test_a_sketch_larger_than_what_the_module_is_fed_is_scaled_down(mass: float | None, allowed: float) -> None:
    """Tokens of square 6 here, R of trace 6e6: Omega counts as if the trace were 4 times 6, a stage's worth each."""
    old, new = adapted("lora", "linear", 2), adapted("lora", "linear", 3)
    reference, row = rounded(old), np.ones((1, 6), np.float32)
    masses = {} if mass is None else {"0@gram-mass": np.array([mass], np.float32)}
    usual, huge = anchor(new, {"0@gram": row}, reference), anchor(new, {"0@gram": 1000 * row, **masses}, reference)
    for term in (usual, huge):
        term.remember(batch())
        new(torch.ones(2, 6, dtype=torch.float64))
    assert omega(huge).item() == pytest.approx(allowed * omega(usual).item(), rel=1e-6)


@pytest.mark.parametrize(("method", "layer"), KINDS)
def test_the_dense_weight_of_these_tests_is_what_the_network_multiplies_with(method: str, layer: str) -> None:
    """Guards the reference: one-hot inputs of the peft layer give the columns of the effective weight."""
    model = adapted(method, layer, 3)
    k = SHAPES[layer][1]
    probe = (
        torch.eye(k, dtype=torch.float64)
        if layer == "linear"
        else torch.eye(k, dtype=torch.float64).view(k, 2, 2, 2, 2)
    )
    answer = (model(probe) - model(torch.zeros_like(probe))).flatten(1)
    assert torch.allclose(answer, effective(model).T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("method", "layer"), KINDS)
def test_the_gradient_is_that_of_the_dense_form(method: str, layer: str) -> None:
    old, new = adapted(method, layer, 2), adapted(method, layer, 3)
    reference = rounded(old)
    sketch = inputs(layer)[1]
    trained = [parameter for key, parameter in parameters_by_key(new).items() if "#" in key]
    dense = (effective(new) - effective(old)) @ torch.from_numpy(sketch).double().T
    expected = torch.autograd.grad(0.5 * dense.square().sum(), trained)
    found = torch.autograd.grad(omega(anchor(new, {"0@gram": sketch}, reference)), trained)
    assert len(trained) == (3 if method == "dora" else 2)
    for got, wanted in zip(found, expected, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("method", "layer"), KINDS)
def test_omega_does_not_depend_on_the_gauge(method: str, layer: str) -> None:
    """(B G)(G^-1 A) is the same update: the reference in any gauge is as near, and the model too."""
    old, new = adapted(method, layer, 2), adapted(method, layer, 3)
    reference = rounded(old)
    term = anchor(new, {"0@gram": inputs(layer)[1]}, reference)
    before = omega(term).item()
    gauge = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 2.0]], dtype=torch.float64)
    a, b = (parameters_by_key(new)[f"0#{role}"] for role in ("lora_a", "lora_b"))
    with torch.no_grad():
        a.copy_((torch.linalg.inv(gauge) @ a.flatten(1)).view_as(a))
        b.copy_((b.flatten(1) @ gauge).view_as(b))
    assert omega(term).item() == pytest.approx(before, rel=1e-9)
    assert before > 1


@pytest.mark.parametrize(("method", "layer"), KINDS)
def test_omega_and_its_gradient_are_zero_at_the_reference(method: str, layer: str) -> None:
    model = adapted(method, layer, 2)
    term = anchor(model, {"0@gram": inputs(layer)[1]}, rounded(model))
    loss = omega(term)
    loss.backward()
    assert loss.item() == 0.0
    assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)


def test_what_moved_from_the_adapter_into_the_carry_is_no_drift() -> None:
    """LoRA: the reference's B A is now in the residual and B is 0: the effective weight is the same."""
    model = adapted("lora", "linear", 2)
    reference = rounded(model)
    residual = {"0#residual_b": (SCALE * reference["0#lora_b"]), "0#residual_a": reference["0#lora_a"]}
    sketch = {"0@gram": inputs("linear")[1]}
    with torch.no_grad():
        parameters_by_key(model)["0#lora_b"].zero_()
    assert omega(anchor(model, sketch | residual, reference)).item() == pytest.approx(0, abs=1e-10)
    assert omega(anchor(model, sketch, reference)).item() > 1
    assert omega(anchor(model, sketch | residual, {**reference, **residual})).item() > 1


def test_a_reference_of_another_rank_counts_with_its_own_scale() -> None:
    """One row of A with alpha 6 has scale 6; three rows, two of them zero and B three times as large, are the same."""
    model = adapted("lora", "linear", 2)
    wide = rounded(model)
    thin = {"0#lora_a": wide["0#lora_a"][:1], "0#lora_b": wide["0#lora_b"][:, :1] / np.float32(RANK)}
    with torch.no_grad():
        parameters_by_key(model)["0#lora_b"][:, 1:] = 0
    assert omega(anchor(model, {"0@gram": inputs("linear")[1]}, thin)).item() == pytest.approx(0, abs=1e-10)


def test_a_fresh_dora_reference_is_the_frozen_weight() -> None:
    """A reference without magnitudes has d = 1: with B = 0 there, the drift is that from W0."""
    model = adapted("dora", "linear", 3)
    fresh = {key: found * 0 if key.endswith("lora_b") else found for key, found in rounded(model).items()}
    del fresh["0#magnitude"]
    sketch = inputs("linear")[1]
    weight = parameters_by_key(model)["0.weight"]
    expected = 0.5 * ((effective(model) - weight) @ torch.from_numpy(sketch).double().T).square().sum()
    assert omega(anchor(model, {"0@gram": sketch}, fresh)).item() == pytest.approx(expected.item(), rel=1e-9)


def test_row_norms_are_those_of_the_sum() -> None:
    """Rows (3, 4) + 2 * 1 * (0, -2) = (3, 0) and (0, 0): norms 3 and 0."""
    weight = torch.tensor([[3.0, 4.0], [0.0, 4.0]])
    found = row_norms(weight, torch.tensor([[0.0, -2.0]]), torch.tensor([[1.0], [1.0]]), 2.0)
    assert found.tolist() == [3.0, 0.0]


def test_a_sketch_that_fits_no_module_is_refused() -> None:
    model = adapted("lora", "linear", 2)
    reference = rounded(model)
    with pytest.raises(ModelError, match="'9@gram' belongs to no adapted module"):
        anchor(model, {"9@gram": np.ones((1, 6), np.float32)}, reference)
    with pytest.raises(ModelError, match=r"'0@gram' has shape \(1, 7\), expected \(q, 6\)"):
        anchor(model, {"0@gram": np.ones((1, 7), np.float32)}, reference)
    with pytest.raises(ModelError, match="module '0' came with a Gram sketch but without a reference adapter"):
        anchor(model, {"0@gram": np.ones((1, 6), np.float32)}, {})


def test_a_step_forms_no_matrix_of_the_weights_size() -> None:
    """A Linear 400 -> 300: every tensor that the penalty saves for backward is far smaller than 300 x 400."""
    base = nn.Sequential(nn.Linear(400, 300))
    model = inject(base, lora_config(method="dora", rank=2, alpha=2, targets=["0"]), seed=0)
    reset_magnitudes(model)
    assert any(isinstance(module, LoraLayer) for module in model.modules())
    reference = {key: array_of(parameter) for key, parameter in parameters_by_key(model).items() if "#" in key}
    term = anchor(model, {"0@gram": np.ones((4, 400), np.float32)}, reference)
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        omega(term)
    assert 0 < max(sizes) <= 400 * 4
