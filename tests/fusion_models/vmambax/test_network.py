"""vMambaX at the smallest sizes: what each modality may say, what is refused, what learns, slices of volumes."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion_models.vmambax.merge import INTERACTIONS, MERGES
from fusion_models.vmambax.network import VMambaX
from fusion_models.vmambax.slices import VMAMBAX_PAPER
from tests.support.model_measures import gradient
from tests.support.vmambax_networks import SIDE, network, tiny

FUSION = ("merges.", "interactions.")


def pair(batch: int = 1, channels: int = 3, size: tuple[int, int] = (SIDE, SIDE)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    ct, pet = (torch.rand(batch, channels, *size, generator=generator) * 3.2 - 1.6 for _ in range(2))
    return ct, pet


def scramble(network: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Other weights wherever a name begins with one of the prefixes."""
    for name, parameter in network.named_parameters():
        if name.startswith(prefixes):
            nn.init.normal_(parameter)


# -- sizes and names that do not fit


@pytest.mark.parametrize(
    ("sizes", "size", "multiple", "following"),
    [
        ({}, (320, 320), 128, "(384, 384)"),
        ({}, (64, 128), 128, "(128, 128)"),
        ({"interaction": "none"}, (320, 310), 32, "(320, 320)"),
        ({"patch": 2}, (0, 64), 64, "(64, 64)"),
        ({"depths": (1, 1)}, (16, 32), 32, "(32, 32)"),
    ],
)
def test_a_slice_that_the_network_cannot_take_is_refused(sizes, size, multiple, following) -> None:
    expected = rf"multiples of {multiple} .*found {re.escape(str(size))}; the next size it takes is "
    with pytest.raises(ValueError, match=expected + re.escape(following)), torch.device("meta"):
        network(VMAMBAX_PAPER, size_yx=size, **sizes)


def test_forward_refuses_a_size_it_cannot_take_and_takes_every_legal_one() -> None:
    network = tiny()
    with pytest.raises(ValueError, match=r"multiples of 16 .*found \(16, 24\); the next size it takes is \(16, 32\)"):
        network(*pair(size=(16, 24)))
    assert network(*pair(size=(16, 32))).shape == (1, 1, 16, 32)


def test_without_windows_smaller_steps_are_legal() -> None:
    assert tiny(interaction="none")(*pair(size=(4, 12))).shape == (1, 1, 4, 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"merge": "product"}, r"unknown merge 'product'; known: \['cgm', "),
        ({"interaction": "attention"}, r"unknown interaction 'attention'; known: \['dcim', 'none'\]"),
        ({"encoder": "both"}, r"unknown encoder 'both'; known: \['separate', 'shared'\]"),
        ({"patch": 8}, r"patch must be 2 or 4, found 8"),
        ({"depths": (2,)}, r"depths must name at least two stages, found 1"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**options)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((None, None), "needs CT, PET or both; found neither"),
        ((pair()[0], pair(batch=2)[1]), "found batches of {'ct': 1, 'pet': 2}"),
        ((pair(channels=1)[0], None), r"ct must have shape \(b, 3, 16, 16\), found \(1, 1, 16, 16\)"),
        ((torch.zeros(1, 16, 16), None), r"ct must have shape \(b, 3, 16, 16\), found \(1, 16, 16\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(images: tuple[Tensor | None, Tensor | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny()(*images)


# -- one modality and both


@pytest.mark.parametrize("encoder", ["shared", "separate"])
def test_ct_alone_is_the_plain_ct_network_whatever_the_rest_has_learnt(encoder: str) -> None:
    network, (ct, _) = tiny(encoder=encoder), pair()
    maps = [norm(each) for norm, each in zip(network.tap_norms, network.encoder(ct), strict=True)]
    before = network.decoder(maps)
    assert torch.equal(network(ct, None), before)
    scramble(network, (*FUSION, "pet_"))
    assert torch.equal(network(ct, None), before)


def test_pet_alone_hears_neither_the_fusion_nor_an_encoder_of_cts_own() -> None:
    network, (_, pet) = tiny(encoder="separate"), pair()
    before = network(None, pet)
    scramble(network, (*FUSION, "encoder.", "tap_norms."))
    assert torch.equal(network(None, pet), before)
    scramble(network, ("pet_tap_norms.",))
    assert not torch.allclose(network(None, pet), before)


def test_a_shared_encoder_gives_pet_alone_what_it_gives_ct_alone() -> None:
    network, (ct, _) = tiny(), pair()
    assert torch.equal(network(None, ct), network(ct, None))


@pytest.mark.parametrize("blank", [0.0, -1.6])
def test_an_absent_modality_is_not_a_blank_one(blank: float) -> None:
    network, (ct, pet) = tiny(), pair()
    for given, alone in (
        ((ct, torch.full_like(pet, blank)), (ct, None)),
        ((torch.full_like(ct, blank), pet), (None, pet)),
    ):
        assert torch.isfinite(network(*given)).all()
        assert not torch.allclose(network(*given), network(*alone), atol=1e-3)


def test_both_modalities_in_one_call_are_two_calls_of_one_encoder() -> None:
    network, (ct, pet) = tiny(), pair(batch=2)
    both = network.taps(ct, pet)
    for name, alone in (("ct", network.taps(ct, None)["ct"]), ("pet", network.taps(None, pet)["pet"])):
        for together, apart in zip(both[name], alone, strict=True):
            torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_an_encoder_serves_both_in_one_call() -> None:
    network, batches = tiny(), []
    network.encoder.register_forward_hook(lambda _module, images, _maps: batches.append(images[0].shape[0]))
    network(*pair(batch=2))
    assert batches == [4]


def test_identical_ct_and_pet_have_identical_taps() -> None:
    ct, _ = pair()
    taps = tiny().taps(ct, ct)
    assert all(torch.equal(a, b) for a, b in zip(taps["ct"], taps["pet"], strict=True))


def test_there_is_one_encoder_unless_two_are_asked_for() -> None:
    def owners(network: VMambaX) -> list[str]:
        return sorted({key.split(".")[0] for key in network.state_dict() if "patch_embed" in key})

    assert owners(tiny()) == ["encoder"]
    assert owners(tiny(encoder="separate")) == ["encoder", "pet_encoder"]


def test_ct_and_pet_are_not_exchangeable() -> None:
    ct, pet = pair()
    network = tiny()
    assert not torch.allclose(network(ct, pet), network(pet, ct), atol=1e-3)


def test_fused_maps_are_base_and_interaction() -> None:
    network, (ct, pet) = tiny(merge="sum"), pair()
    taps = network.taps(ct, pet)
    for fused, a, b, interaction in zip(network.fuse(taps), taps["ct"], taps["pet"], network.interactions, strict=True):
        assert torch.equal(fused, a + b + interaction(a, b))


@pytest.mark.parametrize(
    ("merge", "interaction", "encoder"),
    [
        *((merge, "dcim", "shared") for merge in sorted(MERGES)),
        *(("cgm", interaction, "separate") for interaction in sorted(INTERACTIONS)),
        ("sum", "none", "shared"),
    ],
)
def test_every_choice_answers_and_every_tensor_learns(merge: str, interaction: str, encoder: str) -> None:
    """Includes A_log, D, x_proj, dt_proj and both scales, which the official optimiser leaves out.

    Two windows a side at the coarsest stage: over a grid of one, a scan does not use A. Width 32: with 16 the outer
    stem begins with a single channel, whose bias a norm over channels takes away.
    """
    network = tiny(merge=merge, interaction=interaction, encoder=encoder, width=32, classes=2).train()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.0)
    logits = network(*pair(size=(2 * SIDE, 2 * SIDE)))
    assert logits.shape == (1, 2, 2 * SIDE, 2 * SIDE)
    logits.square().mean().backward()
    optimiser.step()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(gradient(parameter)).all(), name
        assert not torch.equal(parameter, before[name]), name


def test_the_platforms_norms_learn_nothing_beside_parameters_and_train_on_a_single_case() -> None:
    network = tiny().train()
    assert dict(network.named_buffers()) == {}
    network(*pair(batch=1)).sum().backward()
    ct, pet = pair(batch=2)
    network.eval()
    torch.testing.assert_close(network(ct, pet)[1:], network(ct[1:], pet[1:]), atol=1e-4, rtol=0)


def test_pooled_features_are_the_mean_of_the_coarsest_ct_map() -> None:
    network, (ct, _) = tiny(), pair(batch=2)
    features = network.pool_features(ct)
    expected = network.tap_norms[1](network.encoder(ct)[1]).flatten(1, 2).mean(1)
    assert features.shape == (2, 32)
    torch.testing.assert_close(features, expected, atol=1e-6, rtol=0)


# -- volumes
