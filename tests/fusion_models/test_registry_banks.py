"""What every row of the model table that routes its rows must satisfy with adapter banks by modality."""

from typing import Any

import pytest
import torch
from torch import nn

from client.learning.trainable import train_only
from fusion_models.adapters.injection import (
    inject,
    lora_config,
    modules_matching,
)
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.adapters.routing import insert_banks
from fusion_models.registry import MODELS
from protocol.messages.tensors import BANKS, bank_of, group_of, groups_reached
from protocol.modalities import IMAGES, parts_of
from tests.support.row_outcomes import outcome
from tests.support.smallest_models import SMALLEST, built, inputs

ROUTED = [name for name in SMALLEST if MODELS[name].routed]


def routed(name: str, *also: str, **options: object) -> nn.Module:
    """The model of a row with fresh adapter banks of rank 2, at the row's targets and those named."""
    row, model = MODELS[name], built(name, 0, **options)
    targets = insert_banks(model, modules_matching(model, (*row.adapter_targets, *also), row.pathway_modules))
    return inject(model.eval(), lora_config(method="lora", rank=2, alpha=4, targets=targets), seed=0)


@pytest.mark.parametrize("name", ROUTED)
def test_fresh_banks_are_the_identity_and_a_case_trains_those_of_its_modalities(name: str) -> None:
    """A setting trains the banks whose modalities it has, and gives no other a gradient, not even of zeros."""
    row, bare, model = MODELS[name], built(name).eval(), routed(name).eval()
    before = {setting: outcome(bare, name, setting) for setting in row.settings}
    assert all(torch.equal(outcome(model, name, setting), logits) for setting, logits in before.items())
    live = train_only(model, groups_reached(["peft"], ["ct", "pet"]), row.pathways)
    for setting in (setting for setting in row.settings if parts_of(setting) & set(IMAGES)):
        model.zero_grad(set_to_none=True)
        outcome(model, name, setting).square().sum().backward()
        given = {key: parameter.grad for key, parameter in live.items() if parameter.grad is not None}
        able = {bank for bank, needed in BANKS.items() if needed <= parts_of(setting)}
        assert {bank_of(key) for key in given} == able, setting
        assert {bank_of(key) for key, gradient in given.items() if gradient.any()} == able, setting


@pytest.mark.parametrize("name", ROUTED)
@pytest.mark.parametrize(("alone", "foreign"), [("pet", ("ct", "fusion")), ("ct", ("pet", "fusion"))])
def test_a_modality_alone_keeps_every_bit_whatever_other_banks_learn(
    name: str, alone: str, foreign: tuple[str, ...]
) -> None:
    row, model = MODELS[name], routed(name).eval()
    before = outcome(model, name, alone)
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if group_of(key, row.pathways) in {f"peft.{bank}" for bank in foreign}:
                parameter.add_(1)
    assert torch.equal(outcome(model, name, alone), before)
    assert not torch.equal(outcome(model, name, "ct+pet"), outcome(built(name).eval(), name, "ct+pet"))


UNETR_CONVOLVED = ("patch_embeddings", "conv1.conv", "conv2.conv", "out.conv.conv")
"""What may have banks in a UNETR beside its attention: the embedding, the skip `encoder1`, the decoder."""


@pytest.mark.parametrize("name", ["pemma-unetr-tiny", "pemma-prognosis-tiny"])
@pytest.mark.parametrize(
    ("pathway", "of_skip"),
    [
        ("published", {"ct": {"ct"}, "pet": set(), "ct+pet": {"ct", "fusion"}}),
        ("identity", {"ct": {"ct"}, "pet": {"pet"}, "ct+pet": {"ct", "pet", "fusion"}}),
    ],
)
def test_the_convolutions_of_a_unetr_may_have_banks(name: str, pathway: str, of_skip: dict[str, set[str]]) -> None:
    """Fresh ones change no bit. The decoder's maps are fused rows; the skip of CT is CT's alone, also beside PET."""
    bare: Any = built(name, pathway=pathway).eval()
    model: Any = routed(name, *UNETR_CONVOLVED, pathway=pathway)
    live = train_only(model, groups_reached(["peft"], ["ct", "pet"]), MODELS[name].pathways)
    for setting, expected in of_skip.items():
        given = inputs(name, setting)
        logits = model(*given)
        assert torch.equal(logits, bare(*given))
        model.zero_grad(set_to_none=True)
        logits.square().sum().backward()
        reached = {key for key, parameter in live.items() if parameter.grad is not None}
        able = {bank for bank, needed in BANKS.items() if needed <= parts_of(setting)}
        for part in ("vit", "decoder3", "decoder2", "out"):
            assert {bank_of(key) for key in reached if key.startswith(f"{part}.")} == able, (part, setting)
        assert {bank_of(key) for key in reached if key.startswith("encoder1.")} == expected, setting


@pytest.mark.parametrize("name", ROUTED)
def test_the_router_reads_the_bare_backbone_through_banks_too(name: str) -> None:
    ct = inputs(name, "ct").ct
    assert ct is not None
    bare: Any = built(name).eval()
    model: Any = routed(name).eval()
    assert torch.equal(model.pool_features(ct), bare.pool_features(ct))
