"""PEMMA-UNETR against its specification; the numbers are those of the acceptance list for a faithful build.

Elsewhere: 12 (modalities, splits, crops that never see a label) in test_manifest, test_split and test_crops; 15
(aggregation without PET, wrong backbone) in test_linear, test_validation and test_study_end_to_end. Not here: the
checkpointing of 11, which this network does not use; the parallel wrapper of 9, since a modality is an input that is
None, not a mode that a wrapper could hide; 13 and 14, which concern several classes and prognosis.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.networks.nets import UNETR
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.learning.trainable import train_only
from client.tasks.sliding_windows import predict_volume
from fusion_models.adapters.injection import inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.modality import draw_setting, renormalise
from fusion_models.pemma.unetr import PemmaUnetr, hidden_taps
from fusion_models.registry import MODELS, build_model
from protocol.messages.tensors import content_hash

CROP = (16, 16, 16)
PAPER_CROP = (96, 96, 96)
PUBLISHED = {"pathway": "published"}
Volumes = tuple[Tensor, Tensor]


@pytest.fixture
def net() -> PemmaUnetr:
    model = build_model(MODELS["pemma-unetr-tiny"], PUBLISHED, crop_zyx=CROP, seed=3)
    assert isinstance(model, PemmaUnetr)
    return model.eval()


@pytest.fixture
def volumes() -> Volumes:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(1, 1, *CROP, generator=generator), torch.randn(1, 1, *CROP, generator=generator)


def moved(net: nn.Module) -> nn.Module:
    """The net with adapters that have learnt something: no tensor is zero."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in parameters_by_key(net).values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return net


def gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


def test_1_tokens_are_ct_first_and_the_decoder_reads_the_ct_half(net: PemmaUnetr, volumes: Volumes) -> None:
    ct, pet = volumes
    tokens = net.tokens(ct, pet)
    n = net.vit.patch_embedding.n_patches
    assert list(tokens) == ["ct", "pet"]
    assert torch.equal(tokens["ct"], net.vit.patch_embedding(ct))
    assert torch.equal(tokens["pet"], net.pet_embedding(pet))
    outputs, running = [], torch.cat([tokens["ct"], tokens["pet"]], dim=1)
    for block in net.vit.blocks.children():
        running = block(running)
        outputs.append(running)
    ct_rows = [outputs[tap][:, :n] for tap in net.taps] + [net.vit.norm(running)[:, :n]]
    states = net.hidden_states(ct, pet)
    assert all(torch.equal(state, rows) for state, rows in zip(states, ct_rows, strict=True))


def test_1_the_paper_size_has_432_tokens_and_taps_3_6_9() -> None:
    net = on_meta(
        lambda: build_model(MODELS["pemma-unetr-paper"], {**PUBLISHED, "classes": 3}, crop_zyx=PAPER_CROP, seed=0)
    )
    image = torch.empty(1, 1, *PAPER_CROP, device="meta")
    assert isinstance(net, PemmaUnetr)
    assert [part.shape for part in net.tokens(image, image).values()] == 2 * [(1, 216, 768)]
    assert net.vit.patch_embedding.n_patches == 216
    assert hidden_taps(12, 4) == (3, 6, 9)


@pytest.mark.parametrize(("features", "total", "pathway"), [(16, 96_122_035, 3_319_744), (48, 118_744_083, 3_375_936)])
def test_1_parameters_of_the_paper_size(features: int, total: int, pathway: int) -> None:
    options = {**PUBLISHED, "classes": 3, "features": features}
    net = on_meta(lambda: build_model(MODELS["pemma-unetr-paper"], options, crop_zyx=PAPER_CROP, seed=0))
    sizes = {key: parameter.numel() for key, parameter in parameters_by_key(net).items()}
    assert sum(sizes.values()) == total
    assert sum(size for key, size in sizes.items() if key.startswith("pet_")) == pathway


def test_2_ct_only_output_is_that_of_monai_unetr_bit_for_bit() -> None:
    sizes = {"patch": 16, "width": 24, "depth": 12, "heads": 2, "mlp": 32, "features": 4, "classes": 3, **PUBLISHED}
    theirs = UNETR(1, 3, (32, 32, 32), feature_size=4, hidden_size=24, mlp_dim=32, num_heads=2).eval()
    ours = build_model(MODELS["pemma-unetr-paper"], sizes, crop_zyx=(32, 32, 32), seed=1).eval()
    assert ours.load_state_dict(theirs.state_dict(), strict=False).unexpected_keys == []
    image = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(ours(image, None), theirs(image))


def test_2_with_adapters_switched_off_the_ct_network_is_back(net: PemmaUnetr, volumes: Volumes) -> None:
    with torch.no_grad():
        before = net(volumes[0], None)
        inject(net, lora_config(method="dora", rank=2, alpha=4, targets=("attn.qkv",)), seed=0)
        for key, parameter in parameters_by_key(net).items():
            if "#" in key:
                parameter.add_(0.3)
        assert not torch.equal(net.eval()(volumes[0], None), before)
        for module in net.modules():
            if isinstance(module, LoraLayer):
                module.enable_adapters(False)
        assert torch.equal(net(volumes[0], None), before)


def test_3_a_signal_in_pet_alone_lights_up_the_pet_skip_and_the_second_half(net: PemmaUnetr, volumes: Volumes) -> None:
    ct, pet = volumes
    lit = pet.clone()
    lit[..., 8, 8, 8] += 10
    with torch.no_grad():
        before, after = net.tokens(ct, pet), net.tokens(ct, lit)
        assert torch.equal(before["ct"], after["ct"])
        assert not torch.equal(before["pet"], after["pet"])
        assert not torch.equal(net.skip(ct, pet), net.skip(ct, lit))


def test_4_an_absent_pet_is_not_a_pet_of_zeros(net: PemmaUnetr, volumes: Volumes) -> None:
    ct, _ = volumes
    assert not torch.allclose(net(ct, None), net(ct, torch.zeros_like(ct)), atol=1e-3)


def test_5_with_beta_zero_pet_still_speaks_through_attention(net: PemmaUnetr, volumes: Volumes) -> None:
    ct, pet = volumes
    net.beta = 0.0
    net(ct, pet).square().sum().backward()
    assert float(net.pet_embedding.patch_embeddings.weight.grad.abs().max()) > 0
    assert all(float(parameter.grad.abs().max()) == 0 for parameter in net.pet_skip.parameters())


def test_5_the_gradient_of_the_pet_skip_scales_with_beta(net: PemmaUnetr, volumes: Volumes) -> None:
    found = []
    for beta in (1.0, 2.0):
        net.beta = beta
        net.zero_grad()
        net.skip(*volumes).sum().backward()
        found.append([gradient(parameter).clone() for parameter in net.pet_skip.parameters()])
    for once, twice in zip(*found, strict=True):
        torch.testing.assert_close(twice, 2 * once)


@pytest.mark.parametrize("groups", [("backbone",), ("pet", "peft"), ("peft",)])
def test_6_only_the_groups_of_a_stage_move(net: PemmaUnetr, volumes: Volumes, groups: tuple[str, ...]) -> None:
    inject(net, lora_config(method="dora", rank=2, alpha=4, targets=("attn.qkv",)), seed=0)
    moved(net)
    pathways = MODELS["pemma-unetr-tiny"].pathways
    trained = train_only(net, groups, pathways)
    frozen = {key: p for key, p in parameters_by_key(net).items() if key not in trained}
    before = content_hash({key: p.detach().numpy().copy() for key, p in frozen.items()})
    optimiser = torch.optim.AdamW(trained.values(), lr=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        net(*volumes).square().mean().backward()
        optimiser.step()
    assert content_hash({key: p.detach().numpy() for key, p in frozen.items()}) == before
    everything = set(frozen) | set(trained)
    adapters = {key for key in everything if "attn.qkv#" in key}
    pathway = {key for key in everything if key.startswith(("pet_embedding.", "pet_skip."))}
    owners = {"backbone": everything - adapters - pathway, "pet": pathway, "peft": adapters}
    assert set(trained) == set().union(*(owners[group] for group in groups))


@pytest.mark.parametrize(
    ("targets", "rank", "lora", "magnitudes"),
    [
        (("attn.qkv",), 4, 147_456, 27_648),
        (("attn.out_proj",), 4, 73_728, 9_216),
        (("attn.qkv", "attn.out_proj", "mlp.linear1", "mlp.linear2"), 8, 1_179_648, 82_944),
    ],
)
def test_7_adapter_counts_and_target_names(targets: tuple[str, ...], rank: int, lora: int, magnitudes: int) -> None:
    def build() -> nn.Module:
        net = build_model(MODELS["pemma-unetr-paper"], PUBLISHED, crop_zyx=PAPER_CROP, seed=0)
        return inject(net, lora_config(method="dora", rank=rank, alpha=8, targets=targets), seed=0)

    sizes = {key: p.numel() for key, p in parameters_by_key(on_meta(build)).items() if "#" in key}
    assert sum(size for key, size in sizes.items() if not key.endswith("#magnitude")) == lora
    assert sum(size for key, size in sizes.items() if key.endswith("#magnitude")) == magnitudes
    wrapped = {key.partition("#")[0] for key in sizes}
    assert wrapped == {f"vit.blocks.{block}.{target}" for block in range(12) for target in targets}


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_8_a_fresh_adapter_is_the_identity(net: PemmaUnetr, volumes: Volumes, method: str) -> None:
    with torch.no_grad():
        before = net(*volumes)
        inject(net, lora_config(method=method, rank=2, alpha=4, targets=("attn.qkv", "attn.out_proj")), seed=0)
        assert torch.equal(net.eval()(*volumes), before)


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_8_merging_an_adapter_keeps_the_output(net: PemmaUnetr, volumes: Volumes, method: str) -> None:
    inject(net, lora_config(method=method, rank=2, alpha=4, targets=("attn.qkv",)), seed=0)
    moved(net).eval()
    with torch.no_grad():
        adapted = net(*volumes)
        for module in net.modules():
            if isinstance(module, LoraLayer):
                module.merge()
        torch.testing.assert_close(net(*volumes), adapted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("setting", "other"), [("pet", "ct"), ("ct", "pet")])
def test_9_a_prediction_never_sees_the_modality_it_was_not_given(net: PemmaUnetr, setting: str, other: str) -> None:
    """Through the whole inference path: changing the other channel changes no voxel, changing the own one does."""
    rng = np.random.default_rng(3)
    ct, pet = (rng.random((20, 18, 16), dtype=np.float32) for _ in range(2))
    case = PreparedCase("case", ct, pet)
    before = predict_volume(net, case, setting, CROP)
    assert np.array_equal(
        predict_volume(net, replace(case, **{other: 1 - getattr(case, other)}), setting, CROP), before
    )
    assert not np.array_equal(
        predict_volume(net, replace(case, **{setting: 1 - getattr(case, setting)}), setting, CROP), before
    )


def test_9_ct_parameters_get_no_gradient_from_a_pet_only_pass(net: PemmaUnetr, volumes: Volumes) -> None:
    net(None, volumes[1]).square().sum().backward()
    assert net.vit.patch_embedding.patch_embeddings.weight.grad is None
    assert all(parameter.grad is None for parameter in net.encoder1.parameters())


def test_10_modality_dropout_draws_with_the_given_shares() -> None:
    rng = np.random.default_rng(0)
    shares = renormalise({"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}, ("ct", "pet", "ct+pet"))
    draws = [draw_setting(shares, rng) for _ in range(5000)]
    found = {name: draws.count(name) / len(draws) for name in shares}
    assert found == pytest.approx({"ct": 0.2, "ct+pet": 0.6, "pet": 0.2}, abs=0.02)


def test_10_shares_are_renormalised_over_what_a_center_has() -> None:
    assert renormalise({"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}, ("ct",)) == {"ct": 1.0}


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_11_each_adapter_tensor_is_alive(net: PemmaUnetr, volumes: Volumes, method: str) -> None:
    """B (and the magnitude) at once, A after one step: with B = 0 the gradient of A is exactly zero."""
    inject(net, lora_config(method=method, rank=2, alpha=4, targets=("attn.qkv", "attn.out_proj")), seed=0)
    trained = train_only(net, ("peft",), {})
    optimiser = torch.optim.SGD(trained.values(), lr=0.1)
    net(*volumes).square().sum().backward()
    assert all(torch.isfinite(gradient(p)).all() for p in trained.values())
    assert all(bool(gradient(p).any()) == (not key.endswith("#lora_a")) for key, p in trained.items())
    optimiser.step()
    optimiser.zero_grad()
    net(*volumes).square().sum().backward()
    assert all(bool(gradient(p).any()) for p in trained.values())


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of patch 4, found \(18, 16, 16\)"):
        build_model(MODELS["pemma-unetr-tiny"], {}, crop_zyx=(18, 16, 16), seed=0)


def test_a_case_without_any_modality_or_of_another_crop_is_refused(net: PemmaUnetr) -> None:
    with pytest.raises(ValueError, match="CT, PET or both"):
        net(None, None)
    with pytest.raises(ValueError, match=r"\(1, 1, 8, 8, 8\)"):
        net(torch.zeros(1, 1, 8, 8, 8), None)


def test_coarser_decoder_maps_are_trained_by_heads_of_their_own_and_the_finest_stays(volumes: Volumes) -> None:
    row = MODELS["pemma-unetr-tiny"]
    one, two = (build_model(row, {"supervised_scales": n}, crop_zyx=CROP, seed=3).eval() for n in (1, 2))
    assert isinstance(two, PemmaUnetr)
    scales = two.scales(*volumes)
    assert [tuple(each.shape[2:]) for each in scales] == [(16, 16, 16), (8, 8, 8)]
    assert torch.equal(scales[0], one(*volumes))
    assert torch.equal(two(*volumes), scales[0])
    assert set(parameters_by_key(two)) - set(parameters_by_key(one)) == {"out2.conv.conv.weight", "out2.conv.conv.bias"}


@pytest.mark.parametrize(("options", "most"), [({}, 2), ({"patch": 8}, 3)])
def test_no_more_scales_than_decoder_maps(options: dict[str, int], most: int) -> None:
    row = MODELS["pemma-unetr-tiny"]
    build_model(row, {**options, "supervised_scales": most}, crop_zyx=CROP, seed=0)
    with pytest.raises(
        ValueError, match=f"supervised_scales must be 1 to {most}, the decoder's maps, found {most + 1}"
    ):
        build_model(row, {**options, "supervised_scales": most + 1}, crop_zyx=CROP, seed=0)
