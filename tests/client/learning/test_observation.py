"""What a center computes about its cases: input Gram matrices, diagonal Fisher, and how they are summed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.learning.assembly import build, inject_adapter
from client.learning.observation import Observer, observe
from client.tasks.batches import CROPS_PER_CASE
from fusion_models.adapters.injection import adapter_layers
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.losses import dice_cross_entropy
from fusion_models.registry import model_row
from protocol.errors import ModelError
from protocol.messages.settings import Adapter, Model, Preprocessing, StudySettings
from tests.support.masked_case import masked
from tests.support.segmentation_task import segmentation

CROP = (16, 16, 16)
ROW = model_row("pemma-unetr-tiny")
TASK = segmentation(CROP)
Arrays = Mapping[str, NDArray[np.float32]]


def settings(**changes: Any) -> StudySettings:
    asked: dict[str, Any] = {
        "study": "s",
        "seed": 3,
        "model": Model(name="pemma-unetr-tiny"),
        "adapter": Adapter(rank=2, alpha=4),
    }
    return StudySettings(**asked | {"preprocessing": Preprocessing(crop_zyx=CROP)} | changes)


def network(study: StudySettings | None = None) -> nn.Module:
    """The tiny model with an adapter whose B is not zero, so that A has a gradient too."""
    model = build(study or settings(), ROW)
    inject_adapter(model, study or settings(), ROW)
    torch.manual_seed(2)
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if key.endswith("#lora_b"):
                parameter.normal_(std=0.1)
    return model


def made(name: str, modalities: str = "ct+pet", seed: int = 0, *, labelled: bool = True) -> PreparedCase:
    rng = np.random.default_rng(seed)
    ct, pet = (rng.random((18, 17, 16), dtype=np.float32) for _ in range(2))
    gtv = (ct > 0.7).astype(np.uint8) if labelled else None
    return masked(name, ct if "ct" in modalities else None, pet if "pet" in modalities else None, gtv)


def observed(cases: list[PreparedCase], *names: Any, seed: int = 0, **changes: Any) -> tuple[Arrays, dict[str, int]]:
    study = settings(**changes)
    return observe(
        network(study),
        cases,
        statistics=names,
        task=TASK,
        settings=study,
        model_settings=ROW.settings,
        rng=np.random.default_rng(seed),
    )


def observer(model: nn.Module, cases: Sequence[PreparedCase], seed: int) -> Observer:
    return Observer(model, tuple(cases), TASK, settings(), ROW.settings, np.random.default_rng(seed))


def state(model: nn.Module) -> dict[str, tuple[Tensor, bool, bool]]:
    modes = dict.fromkeys(["mode"], (torch.zeros(0), model.training, True))
    return modes | {n: (p.detach().clone(), p.requires_grad, p.grad is None) for n, p in model.named_parameters()}


def test_every_adapted_module_gets_a_sketch_of_what_it_saw() -> None:
    """R'R of all 24 rows is the Gram matrix that hooks of this test's own sum over the same passes."""
    case, model = made("a"), network().eval()
    seen: list[Tensor] = []
    with (
        torch.no_grad(),
        adapter_layers(model)["vit.blocks.2.attn.qkv"].register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].flatten(0, 1).double())
        ),
    ):
        for batch in observer(model, [case], 7).passes(case):
            model(batch.ct, batch.pet)
    found, support = observer(model, [case], 7).input_grams()
    assert len(found) == 4 * 2 + 2 * 2
    assert support == {"gram": 1}
    attention = {array.shape for module, array in found.items() if ".attn." in module}
    convolutions = {array.shape for module, array in found.items() if module.startswith("decoder")}
    assert (attention, convolutions) == ({(24, 24)}, {(32, 27 * channels) for channels in (4, 8, 16)})
    assert found["vit.blocks.2.attn.qkv@gram"].dtype == np.float32
    rows = torch.cat(seen).numpy()
    sketched = found["vit.blocks.2.attn.qkv@gram"].astype(np.float64)
    np.testing.assert_allclose(sketched.T @ sketched, rows.T @ rows / len(rows), atol=1e-4)


def test_a_pass_is_a_crop_under_a_setting_that_the_case_allows() -> None:
    shown = observer(network(), [], 0)
    both, ct_only = (shown.passes(case) for case in (made("a"), made("b", "ct")))
    fed = [[(seen.ct is not None, seen.pet is not None) for seen in drawn] for drawn in (both, ct_only)]
    assert fed == [[(True, False), (False, True), (True, True)] * CROPS_PER_CASE, [(True, False)] * CROPS_PER_CASE]


def test_crops_are_not_flipped_and_keep_their_intensities() -> None:
    """A ramp along x stays that ramp: each step is one, from a start between 0 and 4."""
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32), (16, 16, 20)).copy()
    case = PreparedCase("ramp", ramp)
    for batch in observer(network(), [case], 0).passes(case):
        assert batch.ct is not None
        line = batch.ct[0, 0, 3, 3]
        assert torch.equal(line - line[0], torch.arange(16.0))
        assert line[0] in torch.arange(5.0)


def test_the_fisher_is_the_mean_of_squares_not_the_square_of_the_mean() -> None:
    cases, model = [made("a", "ct", 1), made("b", "ct", 2)], network().eval()
    parameters = {key: p for key, p in parameters_by_key(model).items() if "#" in key}
    shown = observer(model, cases, 4)
    gradients = [shown.case_gradient(parameters, TASK, case) for case in cases]
    found, support = observed(cases, "fisher", seed=4)
    assert support == {"fisher": 2}
    key = "vit.blocks.1.attn.qkv#lora_b"
    one, two = (gradient[key].numpy() for gradient in gradients)
    np.testing.assert_allclose(found[f"{key}@fisher"], (one**2 + two**2) / 2, rtol=1e-4, atol=1e-12)
    apart = np.abs(found[f"{key}@fisher"] - ((one + two) / 2) ** 2).max()
    assert apart > 0.05 * found[f"{key}@fisher"].max()


def test_a_case_s_gradient_is_that_of_its_mean_loss() -> None:
    """Autograd of the mean over the 4 crops x 3 settings, in one go."""
    model, case = network().eval(), made("a", seed=5)
    key = "vit.blocks.0.attn.out_proj#lora_a"
    parameter = parameters_by_key(model)[key]
    drawn = observer(model, [case], 1).passes(case)
    losses = [dice_cross_entropy(model(seen.ct, seen.pet), seen.targets["segmentation"]) for seen in drawn]
    expected = torch.autograd.grad(torch.stack(losses).mean(), parameter)[0]
    found = observer(model, [case], 1).case_gradient({key: parameter}, TASK, case)[key]
    assert len(losses) == 12
    assert torch.allclose(found.float(), expected, rtol=1e-3, atol=1e-8)
    assert expected.abs().max() > 0


def test_the_fisher_covers_the_shared_adapter_alone_and_cases_with_a_contour() -> None:
    dora = Adapter(method="dora", rank=2, alpha=4)
    found, support = observed([made("a", "ct"), made("bare", "ct", labelled=False)], "fisher", adapter=dora)
    assert support == {"fisher": 1}
    assert {key.partition("#")[2] for key in found} == {"lora_a@fisher", "lora_b@fisher", "magnitude@fisher"}
    assert len(found) == 3 * (4 * 2 + 2 * 2)
    assert all(np.isfinite(array).all() and (array >= 0).all() and array.any() for array in found.values())


def test_statistics_repeat_from_their_generator_and_differ_with_another() -> None:
    cases = [made("a", "ct", 1)]
    one, again, other = (observed(cases, "gram", "fisher", seed=seed)[0] for seed in (0, 0, 1))
    assert all(np.array_equal(one[key], again[key]) for key in one)
    assert any(not np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_comes_back_as_it_was(training: bool) -> None:
    study = settings()
    model = network(study).train(training)
    frozen = parameters_by_key(model)["vit.blocks.0.attn.qkv#lora_a"]
    frozen.requires_grad = False
    before = state(model)
    names: list[Any] = ["gram", "fisher", "prototype"]
    rng = np.random.default_rng(0)
    observe(model, [made("a")], statistics=names, task=TASK, settings=study, model_settings=ROW.settings, rng=rng)
    for name, (value, *flags) in state(model).items():
        assert torch.equal(value, before[name][0]), name
        assert flags == list(before[name][1:]), name
    assert all(not layer._forward_pre_hooks for layer in adapter_layers(model).values())


def test_nothing_to_observe_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no training case to observe; asked for \['gram'\]"):
        observed([], "gram")
    with pytest.raises(ModelError, match=r"a case with a contour: 24 adapter tensors, 0 case\(s\)"):
        observed([made("bare", labelled=False)], "fisher")
    with pytest.raises(ModelError, match="has no adapted module"):
        observer(build(settings(), ROW), [made("a")], 0).input_grams()
    with pytest.raises(ModelError, match=r"not each of the cases \['bare'\] has a contour"):
        observer(network(), [], 0).case_gradient({}, TASK, made("bare", labelled=False))
