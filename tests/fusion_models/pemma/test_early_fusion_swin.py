"""The early-fusion baseline of PEMMA-Swin."""

from typing import Any

import pytest
import torch
from torch import nn

from fusion_models.adapters.keys import parameters_by_key
from fusion_models.outline import outline
from fusion_models.registry import MODELS, build_model

PAPER_CROP = (96, 96, 96)


def parameters(name: str) -> dict[str, nn.Parameter]:
    return parameters_by_key(outline(lambda: build_model(MODELS[name], {"classes": 3}, crop_zyx=PAPER_CROP, seed=0)))


def test_16_the_baseline_is_the_ct_network_with_a_second_input_channel() -> None:
    """48 x 2^3 weights more in the embedding, 48 x 3^3 and 48 x 1 more in the skip."""
    early, ours = parameters("early-fusion-swin-paper"), parameters("pemma-swin-paper")
    wider = {key: p.numel() - ours[key].numel() for key, p in early.items() if p.numel() != ours[key].numel()}
    assert sorted(wider.values()) == [48, 384, 1296]
    assert sum(p.numel() for p in early.values()) == 62_188_485


def test_16_shares_that_adapters_and_pathway_train_of_the_baselines_parameters() -> None:
    """Rank 8 on all four layers with the pathway: 267,264 (LoRA), 280,224 (DoRA) of 62,188,485."""
    pathway = sum(p.numel() for key, p in parameters("pemma-swin-paper").items() if is_pathway(key))
    assert [round(100 * (pathway + adapter) / 62_188_485, 2) for adapter in (184_320, 197_280)] == [0.43, 0.45]


def is_pathway(key: str) -> bool:
    return key.startswith(MODELS["pemma-swin-paper"].pathway_modules)


def test_its_first_convolutions_read_ct_and_pet_as_channels_and_one_alone_is_refused() -> None:
    model: Any = build_model(MODELS["early-fusion-swin-tiny"], {}, crop_zyx=(16, 16, 16), seed=0)
    seen: list[torch.Tensor] = []
    model.encoder1.register_forward_hook(lambda _module, images, _out: seen.append(images[0]))
    ct, pet = torch.zeros(1, 1, 16, 16, 16), torch.ones(1, 1, 16, 16, 16)
    assert model(ct, pet).shape == (1, 2, 16, 16, 16)
    assert seen[0].mean((0, 2, 3, 4)).tolist() == [0, 1]
    with pytest.raises(ValueError, match="early fusion needs CT and PET"):
        model(ct, None)
