"""Adapters beyond attention: arms of equal size are equally large, and convolutions average as projections do."""

import math
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from client.learning.assembly import study_specs
from deploy.comparison.planner import read_plan
from fusion_models.adapters.injection import adapter_layers, inject, load, lora_config, modules_matching
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.outline import outline
from fusion_models.registry import build_model, model_row
from protocol.messages.recipe import Recipe
from protocol.messages.settings import Adapter, Model, Preprocessing
from server.study.file import read_study
from strategies.aggregation.contract import Base
from strategies.aggregation.schemes import SCHEMES
from tests.support.adapted_module import sent_by

DECODER = ("conv_block.conv1.conv", "conv_block.conv2.conv")
AT_EQUAL_SIZE = {
    "attention-24": 82944,
    "attention-mlp-12": 82944,
    "decoder-18": 83664,
    "attention-decoder-10": 81040,
    "all-7": 80920,
    "dora-attention-23": 81792,
}


def adapted(name: str, adapter: Adapter) -> torch.nn.Module:
    row = model_row(name)
    network = build_model(row, {}, crop_zyx=row.crop_zyx, seed=0)
    config = lora_config(method=adapter.method, rank=adapter.rank, alpha=adapter.alpha, targets=adapter.targets)
    return inject(network, config, seed=1, spared=row.pathway_modules)


@pytest.mark.parametrize(("name", "blocks", "decoders"), [("paper", 12, 4), ("small", 6, 3), ("tiny", 4, 2)])
def test_by_default_adapters_sit_on_attention_and_both_convolutions_of_each_decoder(
    name: str, blocks: int, decoders: int
) -> None:
    """Not on the transposed convolution of a step up, nor on the 1x1x1 one of its residual."""
    row = model_row(f"pemma-unetr-{name}")
    network = outline(lambda: build_model(row, {}, crop_zyx=row.crop_zyx, seed=0))
    assert set(modules_matching(network, row.adapter_targets, row.pathway_modules)) == {
        *(f"vit.blocks.{k}.attn.{each}" for k in range(blocks) for each in ("qkv", "out_proj")),
        *(f"decoder{k}.conv_block.conv{n}.conv" for k in range(2, decoders + 2) for n in (1, 2)),
    }


def test_the_demonstration_writes_out_what_is_the_default(repository: Path) -> None:
    """71,936 values of the PET pathway, 6 x 6 gates and 8 gains, (3456 + 4648) x 8 of the adapter."""
    written = read_study(repository / "studies" / "demo.toml")
    left_out = written.model_copy(
        update={
            "model": Model(name=written.model.name),
            "adapter": Adapter(rank=8, alpha=16),
            "preprocessing": Preprocessing(crop_zyx=written.preprocessing.crop_zyx),
        }
    )
    specs = study_specs(written.settings.model_dump_json())
    assert specs == study_specs(left_out.settings.model_dump_json())
    of_48 = left_out.settings.model_copy(update={"preprocessing": Preprocessing()})
    counts = Counter[str]()
    for spec in study_specs(of_48.model_dump_json()):
        counts[spec.group] += math.prod(spec.shape)
    assert (counts["pet"], counts["fusion"], counts["peft"]) == (71_936, 44, 64_832)
    assert written.training.gate_rate == Recipe().gate_rate


def test_the_arms_of_equal_size_train_equally_many_values(repository: Path) -> None:
    """Attention 3456 r; 24 x 3456 = 82944, and none is more than 2.5 % away from it."""
    plan = read_plan(repository / "studies" / "sts-adapters-benchmark.toml")
    adapters = {run.arm: run.study.adapter for run in plan.runs}
    found = {}
    for arm in AT_EQUAL_SIZE:
        network = adapted("pemma-unetr-small", adapters[arm])
        found[arm] = sum(p.numel() for key, p in parameters_by_key(network).items() if "#" in key)
    assert found == AT_EQUAL_SIZE
    assert max(abs(count / 82944 - 1) for count in found.values()) < 0.025


@pytest.mark.parametrize(("method", "scheme"), [("lora", "fedit"), ("lora", "product-exact"), ("dora", "fedit")])
def test_decoder_convolutions_of_two_centers_average_to_the_mean_of_what_they_do(
    method: Literal["lora", "dora"], scheme: str
) -> None:
    """Both centers share A, so that the mean of their B, too, is exact."""
    network = adapted("pemma-unetr-tiny", Adapter(method=method, rank=2, alpha=4, targets=DECODER))
    tensors = {key: p.detach().clone() for key, p in parameters_by_key(network).items() if "#" in key}
    frozen = {key: p.detach().numpy() for key, p in parameters_by_key(network).items() if "#" not in key}
    assert any("decoder2.conv_block.conv1.conv" in key for key in tensors)
    rng = np.random.default_rng(0)
    base = Base(groups={}, frozen=frozen, alpha=4, rank=2)
    payloads, expected = [], []
    for center in "ab":
        own = {key: moved(key, value, rng) for key, value in tensors.items()}
        payloads.append(sent_by(center, {key: value.numpy() for key, value in own.items()}))
        load(network, own)
        expected.append(deltas(network))
    shared = SCHEMES[scheme].aggregate({k: v.numpy() for k, v in tensors.items()}, payloads, base, {}).shared
    load(network, {key: torch.from_numpy(shared[key]) for key in tensors})
    residual = {key: value for key, value in shared.items() if "residual" in key}
    for module, delta in deltas(network).items():
        kept = residual_of(module, residual)
        assert delta.numpy() + kept == pytest.approx(
            ((expected[0][module] + expected[1][module]) / 2).numpy(), abs=1e-5
        )


def moved(key: str, value: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """B moves and nothing else."""
    return value + 0.1 * torch.from_numpy(rng.normal(size=value.shape)).float() if key.endswith("lora_b") else value


def deltas(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """s B A of every module, in the shape of its weight."""
    return {name: layer.get_delta_weight("default").detach().clone() for name, layer in adapter_layers(network).items()}


def residual_of(module: str, residual: dict[str, np.ndarray]) -> np.ndarray:
    if f"{module}#residual_a" not in residual:
        return np.zeros(())
    return np.einsum(
        "ic...,cjzyx->ijzyx", residual[f"{module}#residual_b"][..., 0, 0, 0], residual[f"{module}#residual_a"]
    )


def test_a_transposed_convolution_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="ConvTranspose3d"):
        adapted("pemma-unetr-tiny", Adapter(targets=("transp_conv.conv",)))
