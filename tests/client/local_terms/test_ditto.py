"""Ditto: the own copy learns from the same batches, is pulled to the shared tensors, and leaves them alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.local_terms.contract import Round
from client.local_terms.ditto import Ditto, build
from fusion_models.adapters.injection import inject, load, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.losses import dice_cross_entropy
from protocol.errors import ModelError
from protocol.local_steps import warm_up
from protocol.messages.settings import Model, StudySettings, Training
from tests.support.image_network import ImageNetwork
from tests.support.segmentation_task import batch as seen
from tests.support.segmentation_task import segmentation

Arrays = Mapping[str, NDArray[np.float32]]
RATE = 0.1


class Scores(ImageNetwork):
    """Logits (b, 2, z, y, x) of a voxel-wise Linear with a LoRA, and dropout that draws from the global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 2, bias=False)
        self.dropout = nn.Dropout(0.5)

    def look(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        assert ct is not None
        assert pet is None
        return self.head(self.dropout(ct.movedim(1, -1))).movedim(-1, 1)


def network() -> nn.Module:
    torch.manual_seed(4)
    model = inject(Scores(), lora_config(method="lora", rank=1, alpha=1, targets=["head"]), seed=3)
    for key, parameter in parameters_by_key(model).items():
        parameter.requires_grad = key == "head#lora_b"
    return model


def made(tensors: Arrays) -> nn.Module:
    model = network()
    load(model, {key: torch.from_numpy(array) for key, array in tensors.items()})
    return model


def around(model: nn.Module, received: Arrays | None = None, **changes: Any) -> Round:
    asked: dict[str, Any] = {
        "groups": ("peft",),
        "local_steps": 3,
        "learning_rate": RATE,
    }
    training = Training(**asked | {"modality_shares": {"ct": 1.0}, "weight_decay": 0.0} | changes)
    settings = StudySettings(study="s", seed=0, model=Model(name="m"))
    return Round(model, training, received or {}, {}, settings, segmentation(), {}, made, 3)


def built(model: nn.Module, received: Arrays | None = None, weight: float = 0.5, **changes: Any) -> Ditto:
    term = build(around(model, received, **changes), weight)
    assert term is not None
    return term


def array(values: list[list[float]]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ct = torch.rand(2, 1, 4, 4, 4, generator=generator)
    return ct, (ct > 0.6).float()


def trained(model: nn.Module, term: Ditto | None, steps: int = 3) -> list[Tensor]:
    """A loop as the trainer's: what it leaves in the model's trained tensors."""
    torch.manual_seed(9)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0)
    for step in range(steps):
        ct, label = batch(step)
        if term is not None:
            term.remember(seen("ct", ct, segmentation=label))
        optimiser.param_groups[0]["lr"] = warm_up(RATE, step)
        optimiser.zero_grad()
        dice_cross_entropy(model(ct, None), label).backward()
        optimiser.step()
        if term is not None:
            term.after_step()
    return [parameter.detach().clone() for parameter in parameters]


def test_the_shared_tensors_train_bit_for_bit_as_without_it() -> None:
    """Also with dropout, whose draws of the own copy must not shift those of the shared network."""
    alone, beside = network(), network()
    expected, found = trained(alone, None), trained(beside, built(beside))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_the_copy_starts_from_the_received_values_of_what_trains() -> None:
    model = network()
    found = built(model).outcome()
    assert list(found) == ["head#lora_b@own"]
    received = parameters_by_key(model)["head#lora_b"].detach().numpy()
    np.testing.assert_array_equal(found["head#lora_b@own"], received)


def test_a_copy_that_was_kept_goes_on_from_where_it_was() -> None:
    """Also in A, which another phase trained: it is loaded, stands still, and does not go back."""
    own = {"head#lora_a@own": array([[0.5]]), "head#lora_b@own": array([[0.25], [-0.5]])}
    model = network()
    term = built(model, own)
    assert {key: found.tolist() for key, found in term.outcome().items()} == {"head#lora_b@own": [[0.25], [-0.5]]}
    trained(model, term)
    assert parameters_by_key(term._model)["head#lora_a"].tolist() == [[0.5]]
    assert term.outcome()["head#lora_b@own"].tolist() != [[0.25], [-0.5]]


def test_without_pull_the_copy_trains_as_the_shared_tensors_do() -> None:
    """The same batches, rate and warm-up: with dropout off and weight 0, v moves as A and B do when both train."""
    model = network().eval()
    parameters_by_key(model)["head#lora_a"].requires_grad = True
    term = built(model, weight=0.0)
    term._model.eval()
    trained(model, term)
    for key in ("head#lora_a", "head#lora_b"):
        expected = parameters_by_key(model)[key].detach().numpy()
        np.testing.assert_allclose(term.outcome()[f"{key}@own"], expected, atol=1e-6)
        assert np.abs(expected).sum() > 0.1


def test_the_pull_is_lambda_times_the_distance_from_the_received_values() -> None:
    """v is 2 above theta_t in each entry and lambda is 0.5: the gradient gains 1."""
    model = network()
    start = parameters_by_key(model)["head#lora_b"].detach().numpy()
    term = built(model, {"head#lora_b@own": start + np.float32(2)})
    for parameter in term._own.values():
        parameter.grad = torch.zeros_like(parameter)
    term._pull()
    assert [p.grad.flatten().tolist() for p in term._own.values() if p.grad is not None] == [[1.0, 1.0]]


def test_the_pull_brings_a_distant_copy_nearer() -> None:
    distances = []
    for weight in (0.0, 100.0):
        model = network()
        term = built(model, {"head#lora_b@own": np.ones((2, 1), np.float32)}, weight=weight)
        trained(model, term)
        distances.append(np.abs(term.outcome()["head#lora_b@own"]).sum())
    assert distances[1] < distances[0] - 0.05


def test_a_step_without_a_batch_moves_nothing_and_a_batch_serves_once() -> None:
    model = network()
    term = built(model)
    before = term.outcome()
    term.after_step()
    np.testing.assert_array_equal(term.outcome()["head#lora_b@own"], before["head#lora_b@own"])
    ct, label = batch()
    term.remember(seen("ct", ct, segmentation=label))
    term.after_step()
    once = term.outcome()
    term.after_step()
    assert all(np.array_equal(array, once[key]) for key, array in term.outcome().items())
    assert any(not np.array_equal(array, before[key]) for key, array in once.items())


def test_a_batch_that_reaches_nothing_that_trains_leaves_the_copy_alone() -> None:
    """A network whose answer hangs on frozen tensors alone, as that of a CT batch does while the PET pathway trains."""
    term = built(network(), weight_decay=0.5)
    before = term.outcome()
    ct, label = batch()
    term._model.forward = lambda *_: torch.zeros(len(label), 2, *label.shape[2:])
    term.remember(seen("ct", ct, segmentation=label))
    term.after_step()
    assert all(np.array_equal(array, before[key]) for key, array in term.outcome().items())


def test_a_round_of_personal_tensors_has_no_copy() -> None:
    model = network()
    for parameter in model.parameters():
        parameter.requires_grad = False
    assert build(around(model), 0.5) is None


def test_a_copy_of_another_shape_and_a_loss_that_is_not_finite_are_refused() -> None:
    with pytest.raises(ModelError, match=r"own copy 'head#lora_b@own' has shape \(3,\), expected \(2, 1\)"):
        build(around(network(), {"head#lora_b@own": np.ones(3, np.float32)}), 0.5)
    term = built(network())
    ct, label = batch()
    term.remember(seen("ct", ct * torch.nan, segmentation=label))
    with pytest.raises(ModelError, match="own copy became nan; lower the rate or the weight of ditto"):
        term.after_step()
