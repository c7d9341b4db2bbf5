"""Local training: which cases serve which setting, what moves, what counts as used, and when it stops."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.learning import training
from client.learning.trainable import train_only
from client.learning.training import cases_by_setting, train_locally
from client.local_terms.contract import QuietTerm
from client.local_terms.proximal import Proximal
from fusion_models.adapters.gain import gain_of
from fusion_models.adapters.injection import adapter_layers, inject, lora_config
from fusion_models.registry import MODELS, build_model
from protocol.errors import ModelError
from tests.support.segmentation_task import segmentation
from tests.support.small_training import BOTH, CROP, CT, PET, ROW, TASK, fresh, made, moved, stage, state, train
from tests.support.smallest_models import built


def test_each_setting_gets_the_cases_that_have_its_images() -> None:
    found = cases_by_setting([BOTH, CT, PET], stage(), ROW.settings)
    names = {setting: [case.name for case in cases] for setting, cases in found.items()}
    assert names == {"ct": ["both", "only-ct"], "ct+pet": ["both"], "pet": ["both", "only-pet"]}


def test_a_setting_with_no_share_or_that_the_model_cannot_run_gets_none() -> None:
    shares = {"ct": 0.0, "pet": 0.5, "ct+pet": 0.5}
    assert set(cases_by_setting([BOTH], stage(modality_shares=shares), ROW.settings)) == {"pet", "ct+pet"}
    assert set(cases_by_setting([BOTH], stage(modality_shares=shares), ["ct+pet"])) == {"ct+pet"}


@pytest.mark.parametrize(("cases", "shares"), [([CT], {"pet": 1.0}), ([PET, CT], {"ct+pet": 1.0})])
def test_no_case_to_train_on_is_refused(cases: list[PreparedCase], shares: dict[str, float]) -> None:
    with pytest.raises(ModelError, match=r"no training case serves any of the stage's modality settings \['"):
        train(fresh(), cases, stage(modality_shares=shares))


def test_a_center_with_ct_alone_draws_ct_alone() -> None:
    model = fresh()
    trained = train(model, [CT], stage(local_steps=12))
    assert model.inputs == [(True, False)] * 12
    assert trained.used == {"ct": {"only-ct"}}


def test_a_step_feeds_one_setting_and_both_modalities_only_to_it() -> None:
    model = fresh()
    train(model, [BOTH], stage(local_steps=40))
    assert set(model.inputs) == {(True, True), (True, False), (False, True)}


def test_used_names_the_setting_that_a_case_ran_under() -> None:
    """PET-only input uses PET of both its cases and CT of none, although one of them has a CT."""
    trained = train(fresh(), [BOTH, CT, PET], stage(modality_shares={"pet": 1.0}, local_steps=10))
    assert trained.used == {"pet": {"both", "only-pet"}}


def test_a_case_that_is_never_drawn_is_not_used() -> None:
    many = [made(f"case-{n}", "ct", n) for n in range(20)]
    trained = train(fresh(), many, stage(local_steps=2, batch_size=1))
    assert len(trained.used["ct"]) == 2


def test_only_the_named_parameters_move() -> None:
    model = fresh()
    before = state(model)
    train(model, [BOTH], stage(), names=["ct_pathway"])
    assert moved(before, model) == {"ct_pathway.weight", "ct_pathway.bias"}


def test_weight_decay_leaves_a_tensor_without_gradient_alone() -> None:
    """CT-only batches give the PET pathway no gradient: a decay of 0.5 a step must not shrink it."""
    model = fresh()
    before = state(model)
    train(model, [BOTH], stage(modality_shares={"ct": 1.0}, weight_decay=0.5))
    assert moved(before, model) == {"ct_pathway.weight", "ct_pathway.bias"}


def test_a_gradient_of_an_earlier_step_moves_nothing_later() -> None:
    """Gradients kept as zeros instead of none would let weight decay shrink the PET pathway in CT-only steps."""
    model = fresh()
    train(model, [PET], stage(local_steps=1))
    before = state(model)
    train(model, [CT], stage(local_steps=3))
    assert moved(before, model) == {"ct_pathway.weight", "ct_pathway.bias"}


def test_the_first_step_warms_up_at_a_fifth_of_the_rate() -> None:
    """AdamW's first step is the rate times the gradient's sign: 1e-2 / 5."""
    model = fresh()
    before = state(model)
    train(model, [CT], stage(local_steps=1, weight_decay=0))
    step = state(model)["ct_pathway.bias"] - before["ct_pathway.bias"]
    np.testing.assert_allclose(step.abs().numpy(), 2e-3, rtol=1e-3)


def test_training_repeats_from_its_generator() -> None:
    first, again, other = fresh(), fresh(), fresh()
    losses = [train(model, [BOTH, CT], stage(), seed=s).loss for model, s in ((first, 1), (again, 1), (other, 2))]
    assert losses[0] == losses[1] != losses[2]
    assert moved(state(first), again) == set()
    assert moved(state(first), other)


def test_batches_that_are_made_ahead_train_as_those_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with every kind of variation."""
    every = dict.fromkeys(
        ("affine", "elastic", "gamma", "noise", "low_resolution", "misalignment", "lesion_crops"), 0.5
    )
    varied = stage(recipe={"augmentation": every})
    ahead, plain = fresh(), fresh()
    losses = [train(ahead, [BOTH, CT], varied).loss]
    monkeypatch.setattr(training, "prefetch", nullcontext)
    losses.append(train(plain, [BOTH, CT], varied).loss)
    assert losses[0] == losses[1]
    assert moved(state(ahead), plain) == set()
    assert train(fresh(), [BOTH, CT], stage()).loss != losses[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_and_names_the_cases(value: float) -> None:
    broken = replace(CT, name="broken", ct=np.full((18, 18, 18), value, np.float32))
    with pytest.raises(ModelError, match=r"training loss became nan on cases \['broken', 'broken'\]; lower the rate"):
        train(fresh(), [broken], stage())


def test_cases_without_the_target_of_the_task_do_not_train() -> None:
    bare = made("bare", "ct", labelled=False)
    assert train(fresh(), [bare, CT], stage()).used == {"ct": {"only-ct"}}
    with pytest.raises(ModelError, match=r"none of 1 training case\(s\) has a contour, which segmentation needs"):
        train(fresh(), [bare], stage())


def test_the_tiny_model_learns_its_pet_pathway_and_leaves_the_backbone() -> None:
    model = build_model(MODELS["pemma-unetr-tiny"], {}, crop_zyx=CROP, seed=0)
    before = state(model)
    parameters = train_only(model, ("pet",), ROW.pathways)
    trained = train_locally(
        model,
        parameters,
        [BOTH, PET],
        task=TASK,
        training=stage(local_steps=3),
        model_settings=ROW.settings,
        rng=np.random.default_rng(0),
    )
    assert trained.loss is not None
    assert np.isfinite(trained.loss)
    names = moved(before, model)
    assert names
    assert all(name.startswith(("pet_embedding.", "pet_skip.")) for name in names)


def test_a_step_that_reaches_nothing_that_trains_moves_nothing_and_counts_its_loss() -> None:
    """Only the PET pathway trains and the case has CT alone: no gradient, though FedProx has one of zeros."""
    model = fresh()
    for parameter in model.ct_pathway.parameters():
        parameter.requires_grad = False
    term, before = Proximal(dict(model.pet_pathway.named_parameters()), mu=1.0), state(model)
    trained = train(model, [CT], stage(weight_decay=0.5), names=["pet_pathway"], terms=[term])
    assert moved(before, model) == set()
    assert "pet" not in trained.used
    assert trained.loss
    mixed = train(model, [BOTH], stage(modality_shares={"ct": 0.5, "pet": 0.5}, local_steps=20), names=["pet_pathway"])
    assert moved(before, model) == {"pet_pathway.weight", "pet_pathway.bias"}
    assert mixed.used["ct"] == {"both"}


@pytest.mark.parametrize(
    ("roles", "stays"), [(("lora_a",), True), (("lora_b",), True), (("lora_b", "magnitude"), False)]
)
def test_a_phase_without_the_magnitude_keeps_the_row_gain(roles: tuple[str, ...], stays: bool) -> None:
    model = fresh()
    inject(model, lora_config(method="dora", rank=2, alpha=4, targets=("ct_pathway",)), seed=0)
    layer = adapter_layers(model)["ct_pathway"]
    with torch.no_grad():
        layer.lora_B["default"].weight.fill_(0.5)
        layer.lora_magnitude_vector["default"].weight.fill_(3)
    before = gain_of(layer)
    live = train_only(model, ("peft",), {}, roles)
    rng = np.random.default_rng(0)
    train_locally(model, live, [CT], task=TASK, training=stage(), model_settings=ROW.settings, rng=rng)
    drift = float((gain_of(layer) / before - 1).abs().max())
    assert drift < 1e-6 if stays else drift > 1e-4


def dora() -> Any:
    """The smallest network with a DoRA adapter that has moved."""
    model: Any = fresh()
    inject(model, lora_config(method="dora", rank=2, alpha=4, targets=("ct_pathway",)), seed=0)
    with torch.no_grad():
        adapter_layers(model)["ct_pathway"].lora_B["default"].weight.fill_(0.5)
    return model


class Keeper(QuietTerm):
    """Keeps what trains after each step."""

    def __init__(self, live: dict[str, nn.Parameter], states: list[dict[str, Tensor]]) -> None:
        self._live, self._states = live, states

    def after_step(self) -> None:
        self._states.append({key: parameter.detach().clone() for key, parameter in self._live.items()})


@pytest.mark.parametrize("roles", [("lora_a",), ("lora_b",), ("lora_b", "magnitude"), ("lora_a", "lora_b")])
def test_the_average_of_an_adapter_is_sent_with_the_row_gain_that_its_phase_pins(roles: tuple[str, ...]) -> None:
    """The magnitude follows the averaged factor, not the last one; each tensor lies between the states of the round."""
    model = dora()
    layer = adapter_layers(model)["ct_pathway"]
    live, gain = train_only(model, ("peft",), {}, roles), gain_of(layer)
    states = [{key: parameter.detach().clone() for key, parameter in live.items()}]
    asked = stage(recipe={"ema": 0.9}, local_steps=4)
    rng = np.random.default_rng(0)
    train_locally(
        model, live, [CT], task=TASK, training=asked, model_settings=ROW.settings, rng=rng, terms=[Keeper(live, states)]
    )
    for key, parameter in live.items():
        expected = states[0][key].double()
        for step, found in enumerate(states[1:], start=1):
            expected = expected + (found[key].double() - expected) * 9 / (10 + step)
        np.testing.assert_allclose(parameter.detach().numpy(), expected.numpy(), atol=1e-6)
        assert not torch.equal(parameter, states[-1][key])
    if "magnitude" not in roles:
        np.testing.assert_allclose(gain_of(layer).numpy(), gain.numpy(), rtol=1e-6)


def test_a_recipe_that_is_left_out_trains_as_before_there_was_one() -> None:
    """Twelve steps over three settings, as the loop took them before recipes: loss and every parameter."""
    model = fresh()
    trained = train(model, [BOTH, CT, PET], stage(local_steps=12))
    found = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    expected = [1, 1, 1, 0.0458142, 0.4831423, -0.7663843, -0.7925986, -0.3057519, 0.1887549, 0.0596550, 0.7134206]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert trained.loss == pytest.approx(1.6131633, abs=1e-6)


def test_random_layers_draw_from_the_round_and_leave_the_processes_generator_alone() -> None:
    """A layer that drops inputs gives the same twice, whatever the process drew before."""
    outcomes = []
    for seed in (1, 2):
        model: Any = fresh()
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        model.ct_pathway = nn.Sequential(nn.Dropout(0.5), model.ct_pathway)
        train(model, [CT], stage(local_steps=3, modality_shares={"ct": 1.0}))
        outcomes.append(state(model))
        assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(outcomes[0][name], outcomes[1][name]) for name in outcomes[0])


def test_every_scale_of_a_network_is_trained() -> None:
    """The head of the coarsest decoder stage of LoG-VMamba feeds no other output."""
    row, model = MODELS["log-vmamba-2d-tiny"], built("log-vmamba-2d-tiny")
    parameters = train_only(model, ("backbone",), row.pathways)
    heads, before = [key for key in parameters if ".heads." in key], state(model)
    train_locally(
        model,
        parameters,
        [CT],
        task=segmentation(row.crop_zyx),
        training=stage(groups=["backbone"], local_steps=1, modality_shares={"ct": 1.0}),
        model_settings=row.settings,
        rng=np.random.default_rng(0),
    )
    assert len(heads) == 4
    assert set(heads) <= moved(before, model)
