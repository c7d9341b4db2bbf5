"""PEMMA-Swin against its specification; the numbers are those of the acceptance list for a faithful build.

Elsewhere: 10 (modality shares) in test_unetr and test_modality; 12 in test_manifest, test_split and test_crops; 15 in
test_linear, test_validation and test_models_end_to_end; 16 in test_early_fusion_swin. Not here: the tokens of 1; 5,
beta and attention between modalities, which this network does not have; 13 and 14, several classes and prognosis.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.learning.trainable import train_only
from client.tasks.sliding_windows import predict_volume
from fusion_models.adapters.injection import inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.outline import outline
from fusion_models.pemma.swin import PemmaSwin
from fusion_models.registry import MODELS, build_model
from protocol.messages.tensors import content_hash, group_of

CROP = (16, 16, 16)
PAPER_CROP = (96, 96, 96)
ROW = MODELS["pemma-swin-tiny"]
EVERY_TARGET = ("attn.qkv", "attn.proj", "mlp.linear1", "mlp.linear2")
PARTS = {"pet_embedding": 432, "pet_skip": 63_552, "fuse": 4_656, "ct_adapter": 7_152, "pet_adapter": 7_152}
KINDS = ("patch_embed", "bias_table", "layers")
"""What a key of the base has in it, the first of them that it has; what has none is a convolution of the decoder."""
Volumes = tuple[Tensor, Tensor]


def tiny(**options: object) -> PemmaSwin:
    model = build_model(ROW, options, crop_zyx=CROP, seed=3)
    assert isinstance(model, PemmaSwin)
    return model.eval()


@pytest.fixture
def net() -> PemmaSwin:
    return tiny()


@pytest.fixture
def volumes() -> Volumes:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(1, 1, *CROP, generator=generator), torch.rand(1, 1, *CROP, generator=generator)


def moved(net: nn.Module, scale: float = 0.05) -> nn.Module:
    """The net after it has learnt something: no tensor is zero."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in parameters_by_key(net).values():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return net


def paper(**options: object) -> nn.Module:
    return outline(lambda: build_model(MODELS["pemma-swin-paper"], options, crop_zyx=PAPER_CROP, seed=0))


def test_1_parameters_of_the_paper_size_part_by_part() -> None:
    counts: Counter[str] = Counter()
    for key, parameter in parameters_by_key(paper(classes=3)).items():
        part = key.partition(".")[0]
        counts[part if part in PARTS else "base"] += parameter.numel()
    assert counts == {"base": 62_186_757, **PARTS}
    assert sum(PARTS.values()) == 82_944
    assert counts.total() == 62_269_701


def test_1_the_base_by_its_kinds() -> None:
    """CT embedding, Swin blocks with merging, bias tables, and the convolutions with the CT skip and the output."""
    counts: Counter[str] = Counter()
    for key, parameter in parameters_by_key(paper(classes=3)).items():
        if key.partition(".")[0] not in PARTS:
            counts[next((kind for kind in KINDS if kind in key), "convolutions")] += parameter.numel()
    assert counts == {"patch_embed": 432, "bias_table": 197_730, "layers": 7_863_840, "convolutions": 54_124_755}


def test_2_a_fresh_pathway_changes_no_bit_of_any_backbone(net: PemmaSwin, volumes: Volumes) -> None:
    """Also of one that was trained or loaded after the pathway was drawn."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for key, parameter in parameters_by_key(net).items():
            if group_of(key, ROW.pathways) == "backbone":
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        ct, pet = volumes
        assert torch.equal(net(ct, pet), net(ct, None))
        assert torch.equal(net.embed(None, pet), net.embed(pet, None))


def test_2_the_fresh_skip_of_pet_grows_with_its_weights_and_is_not_blown_up_to_unit_variance(
    net: PemmaSwin, volumes: Volumes
) -> None:
    with torch.no_grad():
        for parameter in net.pet_skip.parameters():
            parameter.add_(1e-4)
        small = float(net.skip(None, volumes[1]).abs().max())
    assert 0 < small < 0.1


def test_2_with_adapters_switched_off_the_ct_network_is_back(net: PemmaSwin, volumes: Volumes) -> None:
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


def test_3_a_signal_in_pet_alone_lights_up_the_pet_skip_and_the_second_half_of_the_pair(
    net: PemmaSwin, volumes: Volumes
) -> None:
    moved(net)
    pairs: list[Tensor] = []
    net.fuse.register_forward_pre_hook(lambda _module, inputs: pairs.append(inputs[0]))
    ct, pet = volumes
    lit = pet.clone()
    lit[..., 8, 8, 8] += 10
    with torch.no_grad():
        net.embed(ct, pet), net.embed(ct, lit)
        half = pairs[0].shape[1] // 2
        assert torch.equal(pairs[0][:, :half], pairs[1][:, :half])
        assert not torch.equal(pairs[0][:, half:], pairs[1][:, half:])
        assert not torch.equal(net.skip(ct, pet), net.skip(ct, lit))


def test_4_an_absent_pet_is_not_a_pet_of_zeros(net: PemmaSwin, volumes: Volumes) -> None:
    moved(net)
    ct, _ = volumes
    with torch.no_grad():
        assert not torch.allclose(net(ct, None), net(ct, torch.zeros_like(ct)), atol=1e-3)


@pytest.mark.parametrize("groups", [("backbone",), ("pet", "fusion", "peft"), ("peft",)])
def test_6_only_the_groups_of_a_stage_move(net: PemmaSwin, volumes: Volumes, groups: tuple[str, ...]) -> None:
    inject(net, lora_config(method="dora", rank=2, alpha=4, targets=("attn.qkv",)), seed=0)
    moved(net)
    trained = train_only(net, groups, ROW.pathways)
    everything = parameters_by_key(net)
    frozen = {key: p for key, p in everything.items() if key not in trained}
    before = content_hash({key: p.detach().numpy().copy() for key, p in frozen.items()})
    optimiser = torch.optim.AdamW(trained.values(), lr=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        net(*volumes).square().mean().backward()
        optimiser.step()
    assert content_hash({key: p.detach().numpy() for key, p in frozen.items()}) == before
    adapters = {key for key in everything if "attn.qkv#" in key}
    fusion = {key for key in everything if key.startswith("ct_adapter.")}
    pet = {key for key in everything if key.startswith(("pet_embedding.", "pet_skip.", "fuse.", "pet_adapter."))}
    owners = {"pet": pet, "fusion": fusion, "peft": adapters, "backbone": set(everything) - adapters - fusion - pet}
    assert set(trained) == set().union(*(owners[group] for group in groups))


@pytest.mark.parametrize(
    ("targets", "rank", "lora", "magnitudes"),
    [(EVERY_TARGET, 8, 184_320, 12_960), (("attn.qkv",), 4, 23_040, 4_320), (("attn.proj",), 1, 2_880, 1_440)],
)
def test_7_adapter_counts_and_target_names(targets: tuple[str, ...], rank: int, lora: int, magnitudes: int) -> None:
    config = lora_config(method="dora", rank=rank, alpha=8, targets=targets)
    net = outline(lambda: inject(paper(), config, seed=0, spared=ROW.pathway_modules))
    sizes = {key: p.numel() for key, p in parameters_by_key(net).items() if "#" in key}
    assert sum(size for key, size in sizes.items() if not key.endswith("#magnitude")) == lora
    assert sum(size for key, size in sizes.items() if key.endswith("#magnitude")) == magnitudes
    blocks = [f"swinViT.layers{stage}.0.blocks.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert {key.partition("#")[0] for key in sizes} == {f"{block}.{target}" for block in blocks for target in targets}


def test_7_the_rows_own_targets_are_the_four_of_every_block_and_no_patch_embedding() -> None:
    assert ROW.adapter_targets == EVERY_TARGET


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_8_merging_an_adapter_keeps_the_output(net: PemmaSwin, volumes: Volumes, method: str) -> None:
    inject(net, lora_config(method=method, rank=2, alpha=4, targets=EVERY_TARGET), seed=0)
    moved(net).eval()
    with torch.no_grad():
        adapted = net(*volumes)
        for module in net.modules():
            if isinstance(module, LoraLayer):
                module.merge()
        torch.testing.assert_close(net(*volumes), adapted, atol=1e-5, rtol=1e-4)


class Wrapper(nn.Module):
    """What DistributedDataParallel is to its caller: `module` inside, and none of its attributes outside."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor | None) -> Tensor:
        found: Tensor = self.module(*inputs)
        return found


@pytest.mark.parametrize(("setting", "other"), [("pet", "ct"), ("ct", "pet")])
def test_9_a_prediction_never_sees_the_modality_it_was_not_given(net: PemmaSwin, setting: str, other: str) -> None:
    """Through the whole inference path: changing the other channel changes no voxel, changing the own one does."""
    moved(net)
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


def test_9_a_wrapper_changes_nothing_in_any_setting_and_each_has_an_answer_of_its_own(
    net: PemmaSwin, volumes: Volumes
) -> None:
    ct, pet = volumes
    wrapped = Wrapper(moved(net))
    with torch.no_grad():
        answers = [(wrapped(*given), net(*given)) for given in ((ct, None), (None, pet), (ct, pet))]
    assert all(torch.equal(outside, inside) for outside, inside in answers)
    first, second, third = (outside for outside, _ in answers)
    assert not any(torch.equal(a, b) for a, b in ((first, second), (first, third), (second, third)))


def test_9_training_on_pet_alone_through_a_wrapper_reads_pets_skip_alone(net: PemmaSwin, volumes: Volumes) -> None:
    """The published code kept both skips here: the mode that it set did not reach the inner network."""
    Wrapper(moved(net)).train()(None, volumes[1]).square().sum().backward()
    assert all(parameter.grad is None for parameter in net.encoder1.parameters())
    assert all(parameter.grad is None for parameter in net.ct_adapter.parameters())
    assert all(parameter.grad is not None for parameter in net.pet_skip.parameters())


def test_9_a_case_does_not_depend_on_its_batch(net: PemmaSwin, volumes: Volumes) -> None:
    """As it would with batch normalisation in the adapters."""
    ct, pet = volumes
    moved(net).train()
    with torch.no_grad():
        alone = net(ct, pet)
        together = net(torch.cat([ct, 1 - ct]), torch.cat([pet, 1 - pet]))
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-4)


def test_11_with_blocks_recomputed_adapters_alone_get_the_same_gradients(volumes: Volumes) -> None:
    """The reentrant form of checkpointing gives none where nothing before the first block trains."""
    found = []
    for recompute in ("none", "blocks"):
        net = tiny(recompute=recompute)
        inject(net, lora_config(method="lora", rank=2, alpha=4, targets=EVERY_TARGET), seed=0)
        trained = train_only(moved(net), ("peft",), ROW.pathways)
        net.train()(*volumes).square().mean().backward()
        found.append([parameter.grad for parameter in trained.values()])
    assert all(gradient is not None and bool(gradient.any()) for gradient in found[1])
    torch.testing.assert_close(found[1], found[0])


def test_11_every_tensor_of_the_pathway_learns_within_three_steps(net: PemmaSwin, volumes: Volumes) -> None:
    """What is zero at first holds back what comes before it for a step or two, not for good."""
    trained = train_only(net, ("pet", "fusion"), ROW.pathways)
    optimiser = torch.optim.SGD(trained.values(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        (net(*volumes).square().mean() + net(None, volumes[1]).square().mean()).backward()
        optimiser.step()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in trained.values())


def test_another_crop_than_the_networks_is_refused(net: PemmaSwin) -> None:
    with pytest.raises(ValueError, match=r"ct must have shape \(b, 1, 16, 16, 16\), found \(1, 1, 8, 8, 8\)"):
        net(torch.zeros(1, 1, 8, 8, 8), None)
