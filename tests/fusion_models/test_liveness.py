"""Every adapter tensor that trains is alive, and the fresh ones change nothing.

Libraries that read `module.weight` directly bypass peft in silence; a gradient that is finite and not zero everywhere
proves that a tensor takes part. With B = 0 the gradient of A is exactly zero: B first, A after one step.
"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.learning.assembly import arrays_of, assemble, build, inject_adapter
from client.learning.trainable import train_only
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.contract import Assessor, Fuser, Segmenter
from fusion_models.modality import Inputs
from fusion_models.registry import model_row
from protocol.messages.settings import ROLES, Adapter, Model, OptionValue, Preprocessing, StudySettings
from protocol.messages.tensors import BACKBONE, NORM, PEFT, ROLE_GROUPS, group_of, role_of
from tests.support.clinical_table import SCHEMA
from tests.support.smallest_models import inputs

MODELS_TRIED = (
    *("pemma-unetr-tiny", "pemma-swin-tiny", "vmambax-tiny", "log-vmamba-2d-tiny", "log-vmamba-3d-tiny"),
    *("pemma-prognosis-tiny", "multistage-tiny", "resenc-tiny", "clinicalfmamba-2d-tiny", "clinicalfmamba-3d-tiny"),
)
Arrays = dict[str, NDArray[np.float32]]
PHASES = [
    (("peft",), ("lora_b", "magnitude")),
    (("peft",), ("lora_a",)),
    (("peft",), ROLES),
    (("center", "norm"), ()),
    (("pet", "fusion", "ehr", "head", "peft"), ("lora_b",)),
]
SWIN_PATHWAY = ("pemma-swin-tiny", *PHASES[-1])
"""Zero at first, and in part for PET alone: its own test waits for it."""
TRIED = [tried for name in MODELS_TRIED for phase in PHASES if (tried := (name, *phase)) != SWIN_PATHWAY]


def settings_for(
    method: str, personal: tuple[str, ...] = ("center", "norm"), name: str = "pemma-unetr-tiny"
) -> StudySettings:
    """A study of a small model without DropPath, which may cut a tensor off from its gradient."""
    row = model_row(name)
    options: dict[str, OptionValue] = {"drop_path": 0.0} if "drop_path" in row.options else {}
    return StudySettings.model_validate(
        {
            "study": "small",
            "seed": 5,
            "model": Model(name=name, options=options),
            "tasks": tuple(dict.fromkeys((row.tasks[0], row.tasks[-1]))),
            "labels": SCHEMA,
            "adapter": Adapter.model_validate({"method": method, "rank": 2, "alpha": 4}),
            "preprocessing": Preprocessing(crop_zyx=row.crop_zyx),
            "personal": personal,
        }
    )


def state(settings: StudySettings) -> tuple[Arrays, Arrays]:
    """A backbone and pathways that have moved away from the seed's, and fresh adapters, as a study sends them."""
    row = model_row(settings.model.name)
    model, rng = build(settings, row), np.random.default_rng(0)
    inject_adapter(model, settings, row)
    pathways, backbone, rest = row.pathways, {}, {}
    for key, array in arrays_of(parameters_by_key(model)).items():
        if group_of(key, pathways) == BACKBONE:
            backbone[key] = array + rng.normal(0, 0.05, array.shape).astype(np.float32)
        elif role_of(key) != "magnitude" and ROLE_GROUPS.get(role_of(key)) != NORM:
            rest[key] = array if role_of(key) else array + rng.normal(0, 0.05, array.shape).astype(np.float32)
    return backbone, rest


def with_residual(rest: Arrays) -> Arrays:
    rng = np.random.default_rng(1)
    carried = {}
    for key in [key for key in rest if key.endswith("#lora_a")]:
        module, a, b = key[:-7], rest[key].shape, rest[f"{key[:-7]}#lora_b"].shape
        carried[f"{module}#residual_a"] = rng.normal(0, 0.1, (3, *a[1:])).astype(np.float32)
        carried[f"{module}#residual_b"] = rng.normal(0, 0.1, (b[0], 3, *b[2:])).astype(np.float32)
    return rest | carried


def output(model: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(*inputs("pemma-unetr-tiny", "ct+pet"))
    return found


def gradients(model: nn.Module, name: str) -> dict[str, Tensor | None]:
    model.zero_grad(set_to_none=True)
    device = next(model.parameters()).device
    fullest = max(model_row(name).settings, key=len)
    given = Inputs(*(None if each is None else each.to(device) for each in inputs(name, fullest)))
    model.train()
    outputs = model.scales(*given) if isinstance(model, Segmenter) else []
    outputs += [model.assess(*given)] if isinstance(model, Assessor) else []
    outputs += [model(*given)] if isinstance(model, Fuser) else []
    torch.stack([output.square().mean() for output in outputs]).sum().backward()
    return {key: parameter.grad for key, parameter in parameters_by_key(model).items()}


def alive(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(torch.isfinite(gradient).all()) and bool(gradient.any())


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize(("name", "groups", "roles"), TRIED)
def test_what_a_phase_trains_is_alive_and_the_rest_has_no_gradient(
    name: str, method: str, groups: tuple[str, ...], roles: tuple[str, ...]
) -> None:
    settings = settings_for(method, name=name)
    row = model_row(settings.model.name)
    backbone, rest = state(settings)
    model = assemble(settings, row, backbone, with_residual(rest))
    live = train_only(model, groups, row.pathways, roles)
    trains = {role for role, group in ROLE_GROUPS.items() if group in groups and (group != PEFT or role in roles)}
    assert {role_of(key) for key in live} - {""} == trains - ({"magnitude"} if method == "lora" else set())
    first = gradients(model, name)
    assert {key for key, found in first.items() if found is not None} == set(live)
    waiting = {key for key in live if role_of(key) in {"lora_a", "center_a"}}
    assert {key for key in live if not alive(first[key])} == waiting
    step_towards(model, {"lora_b", "center_b"})
    assert all(alive(found) for key, found in gradients(model, name).items() if key in live)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", MODELS_TRIED)
def test_every_shared_adapter_tensor_is_alive_on_a_gpu(name: str) -> None:
    settings = settings_for("dora", name=name)
    row = model_row(settings.model.name)
    backbone, rest = state(settings)
    model = assemble(settings, row, backbone, rest, device="cuda")
    live = train_only(model, ("peft",), row.pathways)
    step_towards(model, {"lora_b"})
    assert all(alive(found) for key, found in gradients(model, name).items() if key in live)


def step_towards(model: nn.Module, roles: set[str]) -> None:
    """Move B away from zero, as one step of a phase that trains it does."""
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if role_of(key) in roles:
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
                parameter.add_(0.01 * noise.to(parameter.device))


@pytest.mark.parametrize("personal", [("center",), ("norm",), ("center", "norm")])
@pytest.mark.parametrize("method", ["lora", "dora"])
def test_fresh_adapters_answer_as_the_backbone_does_bit_for_bit(method: str, personal: tuple[str, ...]) -> None:
    settings = settings_for(method, personal)
    row = model_row(settings.model.name)
    backbone, rest = state(settings)
    pathway = {key: array for key, array in rest.items() if not role_of(key)}
    plain, fresh = (
        assemble(settings, row, backbone, pathway),
        assemble(settings, row, backbone, rest),
    )
    assert torch.equal(output(fresh), output(plain))
    roles = {role_of(key) for key in parameters_by_key(fresh)}
    assert {role for role in roles if ROLE_GROUPS.get(role) in {"center", "norm"}} == {
        role for role, group in ROLE_GROUPS.items() if group in personal
    }


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_each_personal_tensor_and_the_residual_change_the_answer(method: str) -> None:
    settings = settings_for(method)
    row = model_row(settings.model.name)
    backbone, rest = state(settings)
    before = output(assemble(settings, row, backbone, rest))
    assert not torch.equal(output(assemble(settings, row, backbone, with_residual(rest))), before)
    model = assemble(settings, row, backbone, rest)
    moved = arrays_of({key: p for key, p in parameters_by_key(model).items() if role_of(key) in ROLE_GROUPS})
    for role in ("center_b", "norm_weight", "norm_bias"):
        own = {key: array + np.float32(0.1) for key, array in moved.items() if role_of(key) == role}
        assert not torch.equal(output(assemble(settings, row, backbone, rest | own)), before)
