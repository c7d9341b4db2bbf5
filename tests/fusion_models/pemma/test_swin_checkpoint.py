"""Public Swin UNETR checkpoints, made here from MONAI's own network, in PEMMA-Swin; another network's are refused."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from monai.networks.nets import SwinUNETR
from torch import Tensor

from fusion_models.adapters.keys import parameters_by_key
from fusion_models.pemma.swin_checkpoint import load_public, plain_name
from fusion_models.public_weights import CheckpointReport
from fusion_models.registry import MODELS, build_model

ROW = MODELS["pemma-swin-paper"]
SIZES: dict[str, Any] = {"features": 12, "depths": (1, 1, 1, 1)}
HEADS = ("out.conv.conv.bias", "out.conv.conv.weight")
Content = Mapping[str, Any]


def ours(**options: Any) -> Any:
    return build_model(ROW, {**SIZES, **options}, crop_zyx=(64, 64, 64), seed=1).eval()


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """MONAI's network for the 14 classes of BTCV."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SwinUNETR(1, 14, feature_size=12, depths=(1, 1, 1, 1)).state_dict()


def suprem(weights: Mapping[str, Tensor]) -> Content:
    wrapped = {f"module.backbone.{name}": tensor for name, tensor in weights.items()}
    return {"net": {**wrapped, "module.organ_embedding": torch.zeros(25, 512)}, "epoch": 2100}


FORMS: dict[str, Callable[[Mapping[str, Tensor]], Content]] = {
    "suprem": suprem,
    "btcv": lambda weights: {"state_dict": weights, "epoch": 5000},
    "bare": lambda weights: weights,
    "parallel": lambda weights: {"model": {f"module.{name}": tensor for name, tensor in weights.items()}},
}


def loaded(content: Content, **options: Any) -> tuple[Any, CheckpointReport]:
    model = ours(**options)
    return model, load_public(model, content, ROW.pathway_modules)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_file_of_each_form_gives_the_network_that_wrote_it(weights: dict[str, Tensor], form: str) -> None:
    """All but `out`, which has 2 classes here: 14 in the file."""
    model, report = loaded(FORMS[form](weights))
    found, drawn = parameters_by_key(model), parameters_by_key(ours())
    for key, parameter in found.items():
        expected = drawn[key] if key in HEADS or key.startswith(ROW.pathway_modules) else weights[key]
        assert torch.equal(parameter, expected), key
    assert [plain_name(name) for name in report.skipped] == list(HEADS)
    assert len(report.used) == len(weights) - 4 - len(HEADS)


def test_a_file_of_as_many_classes_gives_its_output_layer_too(weights: dict[str, Tensor]) -> None:
    model, report = loaded(FORMS["btcv"](weights), classes=14)
    assert report.skipped == ()
    assert all(torch.equal(parameters_by_key(model)[name], weights[name]) for name in HEADS)


def test_each_tensor_of_a_file_is_in_one_list_but_for_relative_position_indices(weights: dict[str, Tensor]) -> None:
    """Four blocks have one index each."""
    content = suprem(weights)
    _, report = loaded(content)
    assert report.ignored == ("module.organ_embedding",)
    named = [*report.used, *report.ignored, *report.skipped]
    assert sorted(set(content["net"]) - set(named)) == [
        f"module.backbone.swinViT.layers{stage}.0.blocks.0.attn.relative_position_index" for stage in (1, 2, 3, 4)
    ]
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depths": (1, 1, 1, 2)}, r"\(12 features, depths \(1, 1, 1, 1\)\): 13 unknown: swinViT.layers4.0.blocks.1"),
        ({"use_v2": True}, r"unknown: swinViT.layers1c"),
        ({"window_size": 5}, r"4 of another shape: .*bias_table \(729, 3\), not \(2197, 3\)"),
        ({"in_channels": 4}, r"3 of another shape: swinViT.patch_embed.proj.weight \(12, 4, 2, 2, 2\)"),
    ],
)
def test_another_network_is_refused_and_nothing_is_loaded(change: dict[str, Any], message: str) -> None:
    sizes = {"in_channels": 1, "out_channels": 14, "feature_size": 12, "depths": (1, 1, 1, 1), **change}
    content = SwinUNETR(**sizes).state_dict()
    model = ours()
    before = {key: parameter.detach().clone() for key, parameter in parameters_by_key(model).items()}
    with pytest.raises(ValueError, match=message):
        load_public(model, content, ROW.pathway_modules)
    assert all(torch.equal(before[key], parameter) for key, parameter in parameters_by_key(model).items())


def test_a_file_without_decoder_is_refused(weights: dict[str, Tensor]) -> None:
    encoder = {name: tensor for name, tensor in weights.items() if name.startswith("swinViT.")}
    with pytest.raises(ValueError, match=r"missing: encoder1"):
        loaded(encoder)
