"""A center's own normalisations: which layers get them, and that the backbone never notices."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from client.learning.trainable import train_only
from fusion_models.adapters.injection import load
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.adapters.local_norm import AffineNorm, LocalNorm, inject_local_norms, reset_local_norms
from fusion_models.registry import MODELS, build_model
from protocol.messages.tensors import content_hash
from tests.support.smallest_models import SMALLEST, built, inputs

CROP = (16, 16, 16)
PET = {"pet": ("pet_norm",)}


class Net(nn.Module):
    """Every kind of normalisation: one of a pathway, one without parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.LayerNorm(3)
        self.map = nn.InstanceNorm3d(2, affine=True)
        self.plain = nn.InstanceNorm3d(2)
        self.pet_norm = nn.InstanceNorm3d(2, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.pet_norm(self.plain(self.map(self.tokens(x))))


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    first, second = (torch.rand(1, 1, *CROP, generator=generator) for _ in range(2))
    return first, second


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {key: parameter.detach().numpy().copy() for key, parameter in parameters_by_key(model).items()}


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(3), nn.InstanceNorm3d(2, affine=True, eps=0.1)], ids=["layer", "instance"]
)
def test_it_normalises_as_its_layer_does_with_its_own_affine_parameters(norm: AffineNorm) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 2, 4, 3, 3)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn_like(parameter))
        local = LocalNorm(norm)
        assert torch.equal(local(x), norm(x))
        local.norm_weight.mul_(2)
        local.norm_bias.fill_(5)
        bias = norm.get_parameter("bias")
        shape = (-1,) if isinstance(norm, nn.LayerNorm) else (-1, 1, 1, 1)
        torch.testing.assert_close(local(x), 2 * (norm(x) - bias.reshape(shape)) + 5)


def test_the_backbones_affine_norms_become_local_and_no_others() -> None:
    model = Net()
    inject_local_norms(model, PET["pet"])
    local = {name for name, module in model.named_modules() if isinstance(module, LocalNorm)}
    assert local == {"tokens", "map"}
    assert set(parameters_by_key(model)) == {
        *(f"{name}.{kind}" for name in ("map", "pet_norm", "tokens") for kind in ("weight", "bias")),
        *(f"{name}#norm_{kind}" for name in ("map", "tokens") for kind in ("weight", "bias")),
    }


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(3, bias=False), nn.InstanceNorm3d(2, affine=True, track_running_stats=True)]
)
def test_a_norm_that_cannot_be_copied_whole_is_refused(norm: nn.Module) -> None:
    model = Net()
    model.add_module("tokens", norm)
    with pytest.raises(ValueError, match="must have weight and bias and no running statistics"):
        inject_local_norms(model, PET["pet"])


WITH_BACKBONE = [name for name in SMALLEST if not name.startswith("ehr-")]


@pytest.mark.parametrize("name", WITH_BACKBONE)
def test_fresh_local_norms_change_no_bit_and_the_backbone_keeps_its_hash(name: str) -> None:
    model, plain = (built(name).eval() for _ in range(2))
    inject_local_norms(model, MODELS[name].pathway_modules)
    kept = {key: array for key, array in arrays(model).items() if "#" not in key}
    assert content_hash(kept) == content_hash(arrays(plain))
    assert len(arrays(model)) > len(kept)
    with torch.no_grad():
        assert torch.equal(model(*inputs(name, "ct+pet")), plain(*inputs(name, "ct+pet")))


def test_local_norms_follow_a_backbone_that_arrives_later() -> None:
    model = Net()
    inject_local_norms(model, PET["pet"])
    load(model, {"tokens.weight": torch.tensor([1.0, 2, 3]), "tokens.bias": torch.tensor([4.0, 5, 6])})
    assert model.get_parameter("tokens.norm_weight").tolist() == [1, 1, 1]
    reset_local_norms(model)
    assert model.get_parameter("tokens.norm_weight").tolist() == [1, 2, 3]
    assert model.get_parameter("tokens.norm_bias").tolist() == [4, 5, 6]


def test_a_norm_that_the_forward_pass_does_not_use_is_left_out() -> None:
    """MONAI's transformer block has three norms and calls two; 4 blocks and the last norm make 9 of 13."""
    row = MODELS["pemma-unetr-tiny"]
    model = build_model(MODELS["pemma-unetr-tiny"], {}, crop_zyx=CROP, seed=0)
    inject_local_norms(model, row.pathway_modules)
    live = train_only(model, ("norm",), row.pathways)
    assert len(live) == 2 * 9
    assert not [key for key in live if "cross" in key]
    model(*images()).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in live.values())


def test_training_local_norms_leaves_the_backbones_own_pair() -> None:
    model = Net()
    inject_local_norms(model, PET["pet"])
    live = train_only(model, ("norm",), PET)
    assert set(live) == {f"{name}#norm_{kind}" for name in ("map", "tokens") for kind in ("weight", "bias")}
    model(torch.rand(1, 2, 3, 3, 3)).square().sum().backward()
    assert all(p.grad is None for key, p in parameters_by_key(model).items() if key not in live)
