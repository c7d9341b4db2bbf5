"""What an adapter of a bank was made under, where its study left it to defaults that have changed."""

from typing import Any

import numpy as np
import pytest

from client.learning.bank_settings import settings_behind
from fusion_models.registry import model_row
from protocol.messages.settings import Adapter, Model, StudySettings
from protocol.messages.tensors import Tensors

NAME = "pemma-unetr-tiny"
PLAIN = {"modules_to_save": ["pet_embedding", "pet_skip"]}
GATED = {"modules_to_save": ["attention_gates.0", "pet_embedding", "pet_skip", "skip_gain"]}
PET: Tensors = {"pet_embedding.cls_token": np.zeros(1, np.float32)}
OPEN: Tensors = {**PET, "skip_gain.gain": np.zeros(1, np.float32)}
FACTORS: Tensors = {
    "vit.blocks.0.attn.qkv#lora_a": np.zeros((6, 3), np.float32),
    "vit.blocks.0.attn.out_proj.ct_bank#lora_a": np.zeros((2, 3), np.float32),
}


def settings(name: str = NAME, **options: Any) -> StudySettings:
    return StudySettings(study="s", seed=0, model=Model(name=name, options=options), adapter=Adapter(rank=4, alpha=8))


@pytest.mark.parametrize(
    ("options", "config", "tensors", "found"),
    [
        ({}, PLAIN, {}, {"pathway": "published"}),
        ({}, {}, PET, {"pathway": "published"}),
        ({"beta": 0.5}, PLAIN, PET, {"beta": 0.5, "pathway": "published"}),
        ({}, GATED, {}, {}),
        ({}, {}, OPEN, {}),
        ({}, {}, {}, {}),
        ({"pathway": "copied"}, PLAIN, PET, {"pathway": "copied"}),
        ({"gate": 0.5}, {}, PET, {"gate": 0.5}),
    ],
)
def test_a_pathway_without_gates_is_the_published_one_unless_the_study_says_another(
    options: dict[str, Any], config: dict[str, Any], tensors: Tensors, found: dict[str, Any]
) -> None:
    assert settings_behind(settings(**options), model_row(NAME), config, tensors).model.options == found


def test_a_model_whose_default_never_changed_is_left_alone() -> None:
    asked = settings("vmambax-tiny")
    assert settings_behind(asked, model_row("vmambax-tiny"), PLAIN, PET) == asked


def test_an_adapter_s_own_rank_and_modules_go_before_the_study_s() -> None:
    """Banks of a projection are told by the projection; targets that the study names stay."""
    found = settings_behind(settings(), model_row(NAME), {}, FACTORS).adapter
    assert (found.rank, found.targets) == (6, ("vit.blocks.0.attn.out_proj", "vit.blocks.0.attn.qkv"))
    named = settings().model_copy(update={"adapter": Adapter(targets=("attn.qkv",))})
    assert settings_behind(named, model_row(NAME), {}, FACTORS).adapter.targets == ("attn.qkv",)
    assert settings_behind(settings(), model_row(NAME), GATED, {}) == settings()
