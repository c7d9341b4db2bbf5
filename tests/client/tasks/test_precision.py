"""In which bits networks run: what is asked for where the device has it, float32 elsewhere, and every row of models."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from client.learning.trainable import train_only
from client.local_terms.contract import QuietTerm
from client.tasks import precision
from client.tasks.contract import Batch
from client.tasks.precision import available_precision, choose_precision, compute_in
from client.tasks.sliding_windows import predict_logits
from fusion_models.adapters.injection import inject, lora_config
from fusion_models.contract import FusionModel, Segmenter
from fusion_models.full_precision import widen
from fusion_models.losses import deeply_supervised
from fusion_models.registry import MODELS
from protocol.messages.recipe import Precision, Prediction
from tests.support.image_network import ImageNetwork
from tests.support.small_training import BOTH, Pathways, fresh, stage, state, train
from tests.support.smallest_models import SMALLEST, built, inputs


@pytest.fixture(autouse=True)
def _no_choice_yet() -> Iterator[None]:
    choose_precision.cache_clear()
    yield
    choose_precision.cache_clear()


@pytest.mark.parametrize(
    ("found", "expected"),
    [({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16"), ({"avx512_f": True}, "float32")],
)
def test_a_processor_has_bfloat16_by_its_instructions(
    found: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert available_precision("cpu") == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_that_only_emulates_has_it_not(native: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: native or including_emulation)
    assert available_precision("cuda:0") == expected


def test_a_machine_without_it_takes_float32_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "available_precision", lambda _: "float32")
    with caplog.at_level(logging.INFO):
        assert [choose_precision("bfloat16", "cpu", "training") for _ in range(3)] == ["float32"] * 3
    assert caplog.messages == ["training computes in float32 on cpu, which has no instructions for bfloat16"]


def test_training_and_prediction_each_say_what_they_compute_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a study that trains in bfloat16 and predicts in float32, as the default of `[prediction]` is."""
    monkeypatch.setattr(precision, "available_precision", lambda _: "bfloat16")
    with caplog.at_level(logging.INFO):
        train(fresh(), [BOTH], stage(local_steps=1, recipe={"precision": "bfloat16"}))
        predict_logits(fresh(), BOTH, "ct", (16, 16, 16))
    assert caplog.messages == ["training computes in bfloat16 on cpu", "prediction computes in float32 on cpu"]


def test_a_machine_with_it_computes_in_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "available_precision", lambda _: "bfloat16")
    assert [choose_precision(wanted, "cpu", "training") for wanted in ("bfloat16", "float32")] == [
        "bfloat16",
        "float32",
    ]


def test_within_bfloat16_products_are_narrow_and_within_float32_nothing_changes() -> None:
    a, narrow = torch.ones(2, 2), compute_in("bfloat16", "cpu")
    for _ in range(2):
        with narrow:
            assert (a @ a).dtype == torch.bfloat16
    with compute_in("float32", "cpu"):
        assert (a @ a).dtype == torch.float32


class Watched(Pathways):
    """Notes the numbers that its pathways give."""

    def look(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        found = super().look(ct, pet)
        self.seen = found.dtype
        return found


@pytest.mark.parametrize(("wanted", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_a_round_runs_the_network_in_the_recipes_precision_and_moves_float32(
    wanted: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "available_precision", lambda _: "bfloat16")
    torch.manual_seed(0)
    model, exact = Watched(), fresh()
    losses = [
        train(network, [BOTH], stage(recipe=recipe)).loss
        for network, recipe in ((model, {"precision": wanted}), (exact, {}))
    ]
    assert model.seen == dtype
    assert {value.dtype for value in state(model).values()} == {torch.float32}
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert (losses[0] == losses[1]) == (wanted == "float32")


def test_terms_see_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "available_precision", lambda _: "bfloat16")
    seen = []

    class Term(QuietTerm):
        """Notes what it is given."""

        def penalty(self, _batch: Batch, answer: Tensor) -> None:
            seen.append((answer.dtype, torch.is_autocast_enabled("cpu")))

    train(fresh(), [BOTH], stage(local_steps=1, recipe={"precision": "bfloat16"}), terms=[Term()])
    assert seen == [(torch.float32, False)]


class Narrow(ImageNetwork):
    """Notes the numbers of a product within; its logits are those of CT above a half."""

    def look(self, ct: Tensor | None, _pet: Tensor | None) -> Tensor:
        assert ct is not None
        self.seen = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        return torch.cat([torch.zeros_like(ct), ct - 0.5], dim=1).to(self.seen)


@pytest.mark.parametrize(("wanted", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_windows_are_seen_in_the_precision_of_the_prediction_and_added_in_float32(
    wanted: Precision, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "available_precision", lambda _: "bfloat16")
    model = Narrow()
    model.register_parameter("kept", torch.nn.Parameter(torch.ones(1)))
    found = predict_logits(model, BOTH, "ct", (16, 16, 16), Prediction(precision=wanted))
    assert model.seen == dtype
    assert found.margin.dtype == np.float32
    assert BOTH.ct is not None
    np.testing.assert_allclose(found.margin, BOTH.ct - 0.5, atol=2e-3 if wanted == "bfloat16" else 1e-6)


def _loss(model: FusionModel, name: str) -> Tensor:
    ct, pet, ehr = inputs(name, MODELS[name].settings[-1])
    if not isinstance(model, Segmenter):
        return (widen(model(ct, pet, ehr)) - 1).square().mean()
    label = torch.from_numpy((np.random.default_rng(0).random((1, 1, *MODELS[name].crop_zyx)) > 0.5).astype(np.float32))
    return deeply_supervised(model.scales(ct, pet, ehr), label)


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("name", SMALLEST)
def test_every_network_learns_in_bfloat16_about_as_in_float32(name: str, method: str) -> None:
    """Loss and gradients of adapters and pathways: finite, float32, and in nearly the direction of float32's."""
    gradients, losses = [], []
    for wanted in ("float32", "bfloat16"):
        model, row = built(name), MODELS[name]
        if row.adapter_targets:
            inject(model, lora_config(method=method, rank=2, alpha=4, targets=row.adapter_targets), seed=0)
        found = train_only(model, ("backbone", "pet", "fusion", "ehr", "head", "peft"), row.pathways)
        with compute_in(wanted, "cpu"):
            loss = _loss(model.eval(), name)
        loss.backward()
        losses.append(loss.item())
        parts = [parameter.grad for parameter in found.values() if parameter.grad is not None]
        assert {part.dtype for part in parts} == {torch.float32}
        gradients.append(torch.cat([part.flatten() for part in parts]))
    assert losses[1] == pytest.approx(losses[0], rel=0.03)
    assert torch.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.95
